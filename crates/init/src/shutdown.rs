//! The end: services stop in reverse order, everything is unmounted, the machine restarts or goes off (inventory A.8).
//!
//! It has two halves. The first is System Docker's: it stops containers within `rancher.shutdown_timeout`. Then the process executes
//! itself anew in role `finish`, so that every file that it had open is closed and nothing of the engine can hang; that half kills what
//! is left, unmounts, and ends the machine. A second signal, or a limit, goes to the second half at once.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, wait};

use crate::consoles::Consoles;
use crate::mounts::mount_points;
use crate::power::PowerAction;
use crate::reload;
use crate::system::System;
use crate::system_docker::Next;

/// Tells `docker`'s supervisor that this is the end, not a restart of the engine (ARCHITECTURE.md, signals).
const MARK: &str = "/run/coracle/shutdown";
/// Besides the limit for services, before the machine is forced down.
const MARGIN: Duration = Duration::from_secs(10);
/// How long killed processes may take to be gone; they wait only for devices.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// The second half as a whole.
const FINISH_LIMIT: Duration = Duration::from_secs(20);
/// These stay, with what is below them: they are memory, read-only, or needed until the end. So does `/run`, but not what is below it:
/// a container's root holds the file system of its writable layer.
const KEPT: [&str; 4] = ["/proc", "/sys", "/dev", "/usr"];

/// Waits for a signal that ends the machine, then ends it.
pub(crate) fn wait_and_shut_down(mut system: System) -> ExitCode {
    let (mut docker, action) = loop {
        let Some(mut docker) = system.docker.take() else {
            // The phase that makes it does not give up; without it nothing could stop anything.
            return finish(PowerAction::Reboot);
        };
        match docker.wait() {
            Next::Power(action) => break (docker, action),
            // Returns only when nothing could be executed, with everything as it was.
            Next::HandOver(program) => reload::hand_over(&mut system, docker, &program),
        }
    };
    let limit = Duration::from_secs(system.loaded.config.shutdown_timeout());
    system.consoles.say(&format!("{action}: stopping services"));
    force_after(limit + MARGIN, action);
    if let Err(error) = File::create(MARK) {
        system.consoles.say(&format!("cannot make {MARK}: {error}"));
    }
    if let Err(problem) = docker.stop_services(limit) {
        system.consoles.say(&problem);
    }
    hand_over(action, &system.consoles)
}

/// Executes the second half; when that cannot be, it runs here.
fn hand_over(action: PowerAction, consoles: &Consoles) -> ExitCode {
    let error = Command::new("/usr/bin/coracle")
        .arg0("coracle")
        .arg("finish")
        .arg(action.name())
        .exec();
    consoles.say(&format!("cannot execute /usr/bin/coracle: {error}"));
    finish(action)
}

/// Ends the machine when nothing else has.
fn force_after(limit: Duration, action: PowerAction) {
    let body = move || {
        thread::sleep(limit);
        Consoles::open().say(&format!(
            "{action}: not done after {} s, forced",
            limit.as_secs()
        ));
        let refused = action.now();
        Consoles::open().say(&format!("cannot {action}: {refused}"));
    };
    // Without a thread there is no limit, but still a shutdown.
    drop(
        thread::Builder::new()
            .name("shutdown-limit".into())
            .spawn(body),
    );
}

/// Role `finish ACTION`: kills, unmounts, writes to disk, and ends the machine. Returns only when it is not PID 1.
#[must_use]
pub fn finish(action: PowerAction) -> ExitCode {
    if !rustix::process::getpid().is_init() {
        eprintln!("finish: only PID 1 ends the machine; use reboot, poweroff, halt or shutdown");
        return ExitCode::FAILURE;
    }
    force_after(FINISH_LIMIT, action);
    let consoles = Consoles::open();
    let left = kill_all();
    if !left.is_empty() {
        consoles.say(&format!("still running: {}", left.join(", ")));
    }
    for path in unmount_all() {
        consoles.say(&format!(
            "cannot unmount {}, made read-only",
            path.display()
        ));
    }
    consoles.say(&format!("{action}"));
    let refused = action.now();
    consoles.say(&format!("cannot {action}: {refused}"));
    ExitCode::FAILURE
}

/// Kills every process but this and the kernel's; returns the names of those that are still there after a while.
fn kill_all() -> Vec<String> {
    let deadline = Instant::now() + KILL_LIMIT;
    loop {
        let processes = processes();
        for process in &processes {
            // Gone meanwhile is fine.
            let _ = pidfd_send_signal(&process.handle, Signal::KILL);
        }
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        let waited = processes
            .iter()
            .all(|process| ends_before(&process.handle, deadline));
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        if processes.is_empty() || !waited {
            return processes.into_iter().map(|process| process.name).collect();
        }
    }
}

struct Process {
    name: String,
    handle: OwnedFd,
}

fn ends_before(handle: &OwnedFd, deadline: Instant) -> bool {
    let rest = deadline.saturating_duration_since(Instant::now());
    let timeout = rustix::event::Timespec {
        tv_sec: rest.as_secs().cast_signed(),
        tv_nsec: i64::from(rest.subsec_nanos()),
    };
    matches!(
        poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout)),
        Ok(1..)
    )
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| *pid != 1)
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let name = user_process(&stat)?;
            let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
            Some(Process { name, handle })
        })
        .collect()
}

/// The name in a line of `/proc/PID/stat`, unless it is one of the kernel's or a zombie (proc_pid_stat(5): field 3 is the state, field 9
/// the flags, of which `PF_KTHREAD` is 0x00200000).
fn user_process(stat: &str) -> Option<String> {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let mut fields = stat.get(close + 2..)?.split(' ');
    let state = fields.next()?;
    let flags: u64 = fields.nth(5)?.parse().ok()?;
    (state != "Z" && flags & PF_KTHREAD == 0).then(|| stat[open + 1..close].to_owned())
}

/// Unmounts everything that holds data; returns what could not be.
fn unmount_all() -> Vec<PathBuf> {
    let mut left = mounts_to_end();
    loop {
        // Shared mounts hang together across directories: what is busy now may go once another has gone.
        for point in &left {
            let _ = unmount(point, UnmountFlags::NOFOLLOW);
        }
        let now = mounts_to_end();
        if now.len() >= left.len() || now.is_empty() {
            for point in &now {
                // At least nothing is half-written.
                let _ = mount_remount(point, MountFlags::RDONLY, c"");
            }
            return now;
        }
        left = now;
    }
}

fn mounts_to_end() -> Vec<PathBuf> {
    mount_points()
        .into_iter()
        .filter(|point| holds_data(point))
        .collect()
}

fn holds_data(point: &Path) -> bool {
    let stays = point == Path::new("/") || point == Path::new("/run");
    !stays && !KEPT.iter().any(|kept| point.starts_with(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_containers_are_unmounted_and_what_the_end_needs_is_not() {
        for (point, want) in [
            ("/", false),
            ("/run", false),
            ("/run/system-docker/rootfs/ab", true),
            ("/usr", false),
            ("/sys/fs/cgroup", false),
            ("/state", true),
            ("/var", true),
        ] {
            assert_eq!(holds_data(Path::new(point)), want, "{point}");
        }
    }

    #[test]
    fn kernel_threads_and_zombies_are_left_alone() {
        let line = |name: &str, state: &str, flags: u64| {
            format!("7 ({name}) {state} 1 7 7 0 -1 {flags} 0 0\n")
        };
        for (stat, want) in [
            (
                line("sshd: a) b", "S", 4194560),
                Some("sshd: a) b".to_owned()),
            ),
            (line("kworker/0:1", "I", 69238880), None),
            (line("dead", "Z", 4194560), None),
            (String::new(), None),
        ] {
            assert_eq!(user_process(&stat), want, "{stat}");
        }
    }
}
