//! Ending the machine.

use std::fmt;

use rustix::io::Errno;
use rustix::system::{RebootCommand, reboot};

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerAction {
    /// Start again.
    Reboot,
    /// Switch off.
    PowerOff,
    /// Stop and stay on.
    Halt,
}

impl PowerAction {
    /// What a signal to PID 1 means (ARCHITECTURE.md, "Signals that PID 1 understands"); `realtime_minimum` is `SIGRTMIN`.
    #[must_use]
    pub fn from_signal(signal: i32, realtime_minimum: i32) -> Option<Self> {
        const SIGINT: i32 = 2;
        const SIGPWR: i32 = 30;
        match signal {
            SIGINT => Some(Self::Reboot),
            SIGPWR => Some(Self::PowerOff),
            other => match other - realtime_minimum {
                3 => Some(Self::Halt),
                4 => Some(Self::PowerOff),
                5 => Some(Self::Reboot),
                _ => None,
            },
        }
    }

    /// Its name as an argument.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
            Self::Halt => "halt",
        }
    }

    /// The action that [`PowerAction::name`] names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Reboot, Self::PowerOff, Self::Halt]
            .into_iter()
            .find(|action| action.name() == name)
    }

    /// A signal that means this.
    #[must_use]
    pub fn signal(self, realtime_minimum: i32) -> Option<i32> {
        let all = Self::signals(realtime_minimum);
        let mut fitting = all.into_iter().filter(|(_, action)| *action == self);
        fitting.next().map(|(number, _)| number)
    }

    /// Every signal that means something.
    #[must_use]
    pub fn signals(realtime_minimum: i32) -> Vec<(i32, Self)> {
        (1..=64)
            .filter_map(|signal| Some((signal, Self::from_signal(signal, realtime_minimum)?)))
            .collect()
    }

    /// Writes everything to disk and ends the machine. Only PID 1 of the machine may; in a PID namespace this ends the namespace.
    /// Returns only what the kernel says when it refuses.
    #[must_use]
    pub fn now(self) -> Errno {
        rustix::fs::sync();
        let command = match self {
            Self::Reboot => RebootCommand::Restart,
            Self::PowerOff => RebootCommand::PowerOff,
            Self::Halt => RebootCommand::Halt,
        };
        match reboot(command) {
            // The kernel stops this process before it can get here.
            Ok(()) => loop {
                std::thread::park();
            },
            Err(errno) => errno,
        }
    }
}

impl fmt::Display for PowerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "power off",
            Self::Halt => "halt",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_of_systemd_and_the_kernel() {
        assert_eq!(
            PowerAction::signals(34),
            [
                (2, PowerAction::Reboot),
                (30, PowerAction::PowerOff),
                (37, PowerAction::Halt),
                (38, PowerAction::PowerOff),
                (39, PowerAction::Reboot)
            ]
        );
    }
}
