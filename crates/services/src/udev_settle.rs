//! `ros udev-settle`: has udev look at every device there is, and waits until it has (inventory A4-016, D1-010).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// The socket on which a running udev daemon is told things.
const CONTROL: &str = "/run/udev/control";
/// Debian's place of the daemon.
const DAEMON: &str = "/usr/lib/systemd/systemd-udevd";

/// Device events that must be handled before others can rely on devices. Longer than any good device takes.
const SETTLE_SECONDS: u32 = 30;

/// Announces all devices to udev and waits until it is done with them. If no daemon runs, one runs meanwhile.
///
/// # Errors
/// When a program of udev cannot be run or fails.
pub fn run() -> Result<(), Error> {
    take_idle_time_only();
    let own = !daemon_runs(Path::new(CONTROL));
    if own {
        call(DAEMON, &["--daemon"])?;
    }
    let timeout = format!("--timeout={SETTLE_SECONDS}");
    let looked = call("udevadm", &["trigger", "--action=add", "--type=subsystems"])
        .and_then(|()| call("udevadm", &["trigger", "--action=add", "--type=devices"]))
        .and_then(|()| call("udevadm", &["settle", &timeout]));
    if own {
        call("udevadm", &["control", "--exit"])?;
    }
    looked
}

/// Makes this container's control group an idle one (cgroup-v2.rst, "cpu.idle"): everything that the boot itself waits for
/// has its driver from PID 1, so people and containers come first. The smallest weight is not enough, because the others
/// still wait for the end of its time slice. The kernel lets only those do it who see the whole tree (`cgroup: host`).
fn take_idle_time_only() {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return;
    };
    let file = Path::new("/sys/fs/cgroup").join(path).join("cpu.idle");
    if let Err(error) = fs::write(&file, "1") {
        tracing::warn!("cannot write {}: {error}; going on", file.display());
    }
}

/// Whether a daemon holds the control socket; the file alone may be left over.
fn daemon_runs(control: &Path) -> bool {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let Ok(address) = SocketAddrUnix::new(control) else {
        return false;
    };
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .and_then(|socket| rustix::net::connect(&socket, &address))
    .is_ok()
}

fn call(program: &str, arguments: &[&str]) -> Result<(), Error> {
    let line = || PathBuf::from(format!("{program} {}", arguments.join(" ")));
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::File {
            action: "run",
            path: line(),
            source,
        })?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::File {
            action: "run",
            path: line(),
            source: io::Error::other(status.to_string()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_held_socket_counts_as_a_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        assert!(!daemon_runs(&path));
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            None,
        )
        .unwrap();
        rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&socket, 1).unwrap();
        assert!(daemon_runs(&path));
        drop(socket);
        assert!(!daemon_runs(&path));
    }

    #[test]
    fn failures_name_the_program() {
        assert_eq!(
            call("/nowhere/udevadm", &["settle"])
                .unwrap_err()
                .to_string(),
            "cannot run /nowhere/udevadm settle: No such file or directory (os error 2)"
        );
        assert_eq!(
            call("false", &["now"]).unwrap_err().to_string(),
            "cannot run false now: exit status: 1"
        );
    }
}
