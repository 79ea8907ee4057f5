//! PID 1, System Docker and its containers.

use anyhow::{Context, Result, ensure};

use crate::guest::{Guest, SERVICES};

/// MB, not MiB: the promise counts as download pages do.
const BOOT_FILES_LIMIT: u64 = 110_000_000;

pub fn boot_files_are_small(guest: &mut Guest) -> Result<()> {
    let mut sum = 0;
    for name in ["vmlinuz", "initrd", "system.erofs"] {
        sum += guest.project.dist(name)?.metadata()?.len();
    }
    ensure!(
        sum <= BOOT_FILES_LIMIT,
        "vmlinuz, initrd and system.erofs have {sum} bytes, more than {BOOT_FILES_LIMIT}"
    );
    Ok(())
}

pub fn pid_1_is_coracle(guest: &mut Guest) -> Result<()> {
    let target = guest.run("sudo readlink /proc/1/exe")?;
    ensure!(target.ends_with("/coracle"), "/proc/1/exe is {target}");
    Ok(())
}

pub fn every_service_is_a_container(guest: &mut Guest) -> Result<()> {
    guest.wait_for_services()?;
    let names = guest.run("sudo system-docker ps --format '{{.Names}}'")?;
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    let missing: Vec<&&str> = SERVICES
        .iter()
        .filter(|service| !names.contains(service))
        .collect();
    ensure!(
        missing.is_empty(),
        "system-docker ps lists {names:?} without {missing:?}"
    );
    // It sets its own control group to take idle time only.
    guest.expect(
        "sudo system-docker logs udev-cold 2>&1 | grep cannot || :",
        "",
    )
}

/// A process, from the one line that the guest prints for it.
struct Process {
    pid: u32,
    name: String,
    is_kernel_thread: bool,
    cgroup: String,
}

/// `PF_KTHREAD` of `include/linux/sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;

fn parse_process(line: &str) -> Option<Process> {
    let (stat, cgroup) = line.split_once('\t')?;
    // The name, in parentheses, may hold anything (proc_pid_stat(5)); the flags are the seventh word behind it.
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let flags: u32 = rest.split_whitespace().nth(6)?.parse().ok()?;
    Some(Process {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        is_kernel_thread: flags & KERNEL_THREAD != 0,
        cgroup: cgroup.trim().to_owned(),
    })
}

pub fn nothing_runs_outside_containers(guest: &mut Guest) -> Result<()> {
    // A process that ends in the meantime prints an incomplete line and is not counted.
    let script = r#"cd /proc; for p in [0-9]*; do s=$(cat $p/stat 2>/dev/null) && c=$(cat $p/cgroup 2>/dev/null) && printf "%s\t%s\n" "$s" "$c"; done"#;
    let listing = guest.run(&format!("sudo sh -c '{script}'"))?;
    let processes: Vec<Process> = listing.lines().filter_map(parse_process).collect();
    let init = processes
        .iter()
        .find(|process| process.pid == 1)
        .context("no PID 1 in the listing")?;
    ensure!(
        processes.len() > SERVICES.len(),
        "only {} processes in:\n{listing}",
        processes.len()
    );
    let ids: Vec<String> = guest
        .system_containers()?
        .into_values()
        .map(|life| life.id)
        .collect();
    let outside: Vec<String> = processes
        .iter()
        .filter(|process| process.pid != 1 && !process.is_kernel_thread)
        .filter(|process| {
            process.cgroup == init.cgroup
                || !ids.iter().any(|id| process.cgroup.contains(id.as_str()))
        })
        .map(|process| format!("{} ({}) in {}", process.pid, process.name, process.cgroup))
        .collect();
    ensure!(
        outside.is_empty(),
        "outside of every system container: {outside:#?}"
    );
    Ok(())
}

pub fn system_docker_refuses_users(guest: &mut Guest) -> Result<()> {
    let output = guest.exec("docker -H unix:///var/run/system-docker.sock ps")?;
    ensure!(
        output.code != 0,
        "a user without rights got: {}",
        output.stdout
    );
    ensure!(
        output.stderr.to_lowercase().contains("permission denied"),
        "the refusal says: {}",
        output.stderr
    );
    Ok(())
}

/// The login over SSH that every check uses shows the key; the user data of the same volume sets the host name.
pub fn hostname_and_keys_come_from_the_config_volume(guest: &mut Guest) -> Result<()> {
    guest.expect("hostname", crate::suites::HOSTNAME)?;
    guest.expect("id -un", "rancher")
}
