//! Signals by name and number, and sending them without hitting a reused process id.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::error::{Error, Result};

/// The names of Linux's signals on x86-64 and arm64, by number.
const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("IOT", 6),
    ("CLD", 17),
    ("POLL", 29),
];

/// `SIGKILL`.
pub const KILL: i32 = 9;
/// `SIGTERM`, which stops a container unless its configuration names another one.
pub const TERM: i32 = 15;

/// A signal as clients give it: number, `TERM`, `SIGTERM`, `RTMIN+3`.
///
/// # Errors
/// Docker's `invalid signal`.
pub fn parse(text: &str) -> Result<i32> {
    let invalid = || Error::Invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err(invalid())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    // glibc keeps 32 and 33 for itself.
    let (base, offset) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(offset), _) => (34, offset),
        (_, Some(offset)) => (64, offset),
        _ => return Err(invalid()),
    };
    let offset: i32 = if offset.is_empty() {
        0
    } else {
        offset.parse().map_err(|_| invalid())?
    };
    let number = base + offset;
    if (34..=64).contains(&number) {
        Ok(number)
    } else {
        Err(invalid())
    }
}

/// Sends a signal to the process behind `pidfd`. A process that has ended is no error: its owner learns of that anyway.
///
/// # Errors
/// When the signal cannot be sent.
pub fn send(pidfd: impl AsFd, number: i32) -> Result<()> {
    match coracle_sys::signal::send(pidfd, number) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::SRCH) => {
            Err(Error::io(format!("send signal {number}"), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_numbers_and_real_time_offsets() {
        for (text, expected) in [
            ("9", Some(9)),
            ("KILL", Some(9)),
            ("SIGTERM", Some(15)),
            ("sigint", Some(2)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX-1", Some(63)),
            ("RTMIN", Some(34)),
            ("0", None),
            ("65", None),
            ("SIGNOPE", None),
            ("RTMIN-1", None),
            ("", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }
}
