//! What containers that do not run have left in the kernel and below the engine's run-time directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use coracle_container_network::{HOST_PREFIX, Routing};
use coracle_runtime::OWN_DIRECTORIES;

use super::containers::Kept;
use super::{Check, Finding, START, add, left_over, names};
use crate::cgroup;
use crate::prepare::ROOT_LABEL;

/// Compares with the containers that run.
pub fn check(check: &Check, running: bool, containers: &[Kept], findings: &mut BTreeSet<Finding>) {
    let active: Vec<&Kept> = containers
        .iter()
        .filter(|container| running && container.state.status.is_active())
        .collect();
    let ids: BTreeSet<&str> = active.iter().map(|one| one.record.id.as_str()).collect();
    // A container may run on another one's root.
    let roots: BTreeSet<&str> = active
        .iter()
        .map(|one| {
            let owner = one.record.label(ROOT_LABEL);
            let owner = owner.and_then(|label| label.strip_prefix("container:"));
            let owner = owner.and_then(|name| {
                containers
                    .iter()
                    .find(|other| other.record.name == name || other.record.id.starts_with(name))
            });
            owner.map_or(one.record.id.as_str(), |owner| owner.record.id.as_str())
        })
        .collect();
    let exec_root = &check.exec_root;
    for (dir, allowed) in [
        ("bundles", &ids),
        ("runtime", &ids),
        ("runtime/.bundles", &ids),
        ("mounts", &ids),
        ("rootfs", &roots),
    ] {
        for name in names(&exec_root.join(dir)) {
            let allowed = name
                .to_str()
                .is_some_and(|name| allowed.contains(name) || OWN_DIRECTORIES.contains(&name));
            if !allowed {
                left_over(findings, &exec_root.join(dir).join(name));
            }
        }
    }
    for name in names(&exec_root.join("tty")) {
        if !running {
            left_over(findings, &exec_root.join("tty").join(name));
        }
    }
    mounts(check, &ids, &roots, findings);
    groups(check, &ids, findings);
    links(check, running, &active, findings);
}

/// Mounts below the engine's directories whose container does not run.
fn mounts(
    check: &Check,
    ids: &BTreeSet<&str>,
    roots: &BTreeSet<&str>,
    findings: &mut BTreeSet<Finding>,
) {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // proc_pid_mountinfo(5): the fifth field is the mount point.
    for point in text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(4))
    {
        let Ok(inside) = Path::new(point).strip_prefix(&check.exec_root) else {
            continue;
        };
        let mut parts = inside.iter().map(|part| part.to_string_lossy());
        let (Some(kind), Some(id)) = (parts.next(), parts.next()) else {
            continue;
        };
        let allowed = match &*kind {
            "rootfs" => roots.contains(&*id),
            "bundles" | "mounts" => ids.contains(&*id),
            _ => true,
        };
        if !allowed {
            add(findings, format!("mount {point}"), "is left over", START);
        }
    }
}

/// Control groups of containers that do not run, which may still have processes.
fn groups(check: &Check, ids: &BTreeSet<&str>, findings: &mut BTreeSet<Finding>) {
    let Some(group) = cgroup::find(&check.cgroup_parent) else {
        return;
    };
    for name in names(&group) {
        let path = group.join(&name);
        // A client may have put containers into a group of its own below.
        let is_container = name.len() == 64 && path.is_dir();
        if !is_container || name.to_str().is_some_and(|name| ids.contains(name)) {
            continue;
        }
        let processes = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        let problem = match processes.lines().count() {
            0 => "is left over".to_owned(),
            count => format!("has {count} processes of a container that does not run"),
        };
        add(
            findings,
            format!("control group {}", path.display()),
            problem,
            START,
        );
    }
}

/// Interfaces of containers that are gone. Bridges stay until the next engine begins.
fn links(check: &Check, running: bool, active: &[&Kept], findings: &mut BTreeSet<Finding>) {
    // Before anything is made in the kernel, this is: another engine's are none of ours.
    if !check.exec_root.join("networks").exists() {
        return;
    }
    let Ok(links) = Routing::open().and_then(|routing| routing.links()) else {
        return;
    };
    let ours: Vec<_> = links
        .iter()
        .filter(|link| link.name.starts_with(HOST_PREFIX))
        .collect();
    if running {
        let inside: usize = active.iter().map(|one| interfaces(one.state.pid)).sum();
        if ours.len() > inside {
            let problem = format!(
                "there are {}, and running containers have {inside}: some belong to nobody",
                ours.len()
            );
            let subject = format!("interfaces {HOST_PREFIX}*");
            add(findings, subject, problem, "restart the engine");
        }
        return;
    }
    for link in ours {
        add(
            findings,
            format!("interface {}", link.name),
            "is left over",
            START,
        );
    }
}

/// Interfaces besides loopback in a process's network namespace.
fn interfaces(pid: i32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let names = text
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.filter(|name| *name != "lo").count()
}
