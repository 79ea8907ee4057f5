//! The mounts of a configuration: Docker's standard ones, then the container's own.

use std::path::Path;

use oci_spec::runtime::Mount;

use super::Input;
use crate::record::{MountKind, MountPoint};

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(destination.into());
    mount.set_typ(Some(kind.to_owned()));
    mount.set_source(Some(source.into()));
    mount.set_options(Some(options.iter().map(ToString::to_string).collect()));
    mount
}

/// All mounts, in the order in which they are made.
pub fn all(input: &Input<'_>) -> Vec<Mount> {
    let own = own(input);
    let covered = |path: &Path| own.iter().any(|mount| mount.destination() == path);
    let own_dev = covered(Path::new("/dev"));
    let mut mounts: Vec<Mount> = standard(input)
        .into_iter()
        .filter(|mount| {
            let path = mount.destination();
            !(covered(path) || own_dev && path.starts_with("/dev"))
        })
        .collect();
    mounts.extend(own);
    mounts
}

fn standard(input: &Input<'_>) -> Vec<Mount> {
    let host = &input.record.host_config;
    let privileged = host.privileged.unwrap_or(false);
    let access = if privileged { "rw" } else { "ro" };
    let cgroup_access = if privileged || input.writable_cgroups {
        "rw"
    } else {
        "ro"
    };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", access],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &[cgroup_access, "nosuid", "noexec", "nodev"],
        ),
    ];
    mounts.push(match input.mqueue {
        None => mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        Some(path) => mount(
            "/dev/mqueue",
            "bind",
            &path.to_string_lossy(),
            &["rbind", "nosuid", "noexec", "nodev"],
        ),
    });
    let no_shm = host.ipc_mode.as_deref() == Some("none");
    match input.shm {
        _ if no_shm => {}
        Some(path) => mounts.push(mount(
            "/dev/shm",
            "bind",
            &path.to_string_lossy(),
            &["rbind", "rprivate"],
        )),
        None => {
            let size = format!("size={}", host.shm_size.unwrap_or(64 << 20));
            mounts.push(mount(
                "/dev/shm",
                "tmpfs",
                "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &size],
            ));
        }
    }
    mounts
}

/// Volumes, binds, tmpfs and the engine's files, outer directories first.
fn own(input: &Input<'_>) -> Vec<Mount> {
    let read_only = input.record.host_config.readonly_rootfs.unwrap_or(false);
    let mut mounts: Vec<Mount> = input.mounts.iter().map(point).collect();
    for (destination, source) in input.files {
        if !input
            .mounts
            .iter()
            .any(|point| &point.destination == destination)
        {
            let access: &[&str] = if read_only {
                &["rbind", "rprivate", "ro"]
            } else {
                &["rbind", "rprivate"]
            };
            mounts.push(mount(
                destination,
                "bind",
                &source.to_string_lossy(),
                access,
            ));
        }
    }
    if let Some(init) = input.init {
        let access = ["bind", "rprivate", "ro"];
        mounts.push(mount(
            super::INIT_PATH,
            "bind",
            &init.to_string_lossy(),
            &access,
        ));
    }
    // Stable, so that what was asked for first among equals stays first.
    mounts.sort_by_key(|mount| mount.destination().components().count());
    mounts
}

fn point(point: &MountPoint) -> Mount {
    if point.kind == MountKind::Tmpfs {
        return tmpfs(point);
    }
    let mut options = vec![if point.non_recursive { "bind" } else { "rbind" }];
    if !point.writable {
        // Also what is mounted below the source, unless asked otherwise.
        options.push(if point.non_recursive || point.read_only_non_recursive {
            "ro"
        } else {
            "rro"
        });
    }
    let propagation = if point.propagation.is_empty() {
        "rprivate"
    } else {
        &point.propagation
    };
    options.push(propagation);
    mount(&point.destination, "bind", &point.source, &options)
}

/// Docker's defaults, each of which the container's options may turn into its opposite.
fn tmpfs(point: &MountPoint) -> Mount {
    let mut options: Vec<&str> = Vec::new();
    for (default, opposite) in [("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")] {
        if !point.tmpfs_options.iter().any(|option| option == opposite) {
            options.push(default);
        }
    }
    for option in &point.tmpfs_options {
        if !options.contains(&option.as_str()) {
            options.push(option);
        }
    }
    if !point.writable {
        options.push("ro");
    }
    mount(&point.destination, "tmpfs", "tmpfs", &options)
}
