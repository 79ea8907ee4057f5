//! Telling the kernel or PID 1 to end the machine's run.

use std::fs;
use std::path::Path;

use coracle_sys::signal;
use rustix::system::{RebootCommand, reboot};

use super::Action;
use crate::Error;

/// Signals PID 1 (ARCHITECTURE.md, signals that PID 1 understands).
pub(super) fn ask(action: Action) -> Result<(), Error> {
    let command_line =
        fs::read("/proc/1/cmdline").map_err(Error::file("read", "/proc/1/cmdline"))?;
    if !is_coracle(&command_line) {
        let name = String::from_utf8_lossy(&command_line).replace('\0', " ");
        return Err(Error::Refused(format!(
            "process 1 here is '{}', not the machine's; run this in the console, or in a container with pid: host",
            name.trim()
        )));
    }
    // SIGRTMIN+5, +4 and +3.
    let signal = match action {
        Action::Reboot => 39,
        Action::PowerOff => 38,
        Action::Halt => 37,
    };
    signal::send_to_init(signal).map_err(Error::file("signal", "process 1"))
}

/// Whether the command line of process 1 is that of Coracle's PID 1: `/init`, or `coracle system` after the exec.
fn is_coracle(command_line: &[u8]) -> bool {
    let mut words = command_line.split(|&b| b == 0);
    let program = words.next().unwrap_or_default();
    let name = Path::new(std::str::from_utf8(program).unwrap_or_default()).file_name();
    match name.and_then(|name| name.to_str()) {
        Some("init") => true,
        Some("coracle") => words.next() == Some(b"system"),
        _ => false,
    }
}

/// `-f`: writes the disks' caches back and ends the machine without another word.
pub(super) fn end_now(action: Action) -> Result<(), Error> {
    rustix::fs::sync();
    let command = match action {
        Action::Reboot => RebootCommand::Restart,
        Action::PowerOff => RebootCommand::PowerOff,
        Action::Halt => RebootCommand::Halt,
    };
    reboot(command).map_err(|e| Error::file("use", "reboot(2)")(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machines_own_process_1_is_signalled() {
        let table: [(&[u8], bool); 7] = [
            (b"/init\0", true),
            (b"/usr/bin/coracle\0system\0", true),
            (b"coracle\0system\0--x\0", true),
            (b"/usr/bin/coracle\0engine\0", false),
            (b"respawn\0", false),
            (b"/usr/sbin/acpid\0-f\0", false),
            (b"", false),
        ];
        for (line, want) in table {
            assert_eq!(is_coracle(line), want, "{}", String::from_utf8_lossy(line));
        }
    }
}
