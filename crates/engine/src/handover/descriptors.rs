//! Descriptors that go over the exec: all are close-on-exec until the moment before it, and are so again right after.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use coracle_sys::fd::{keep_over_exec, take_inherited};
use serde::{Deserialize, Serialize};

/// A descriptor in a [`super::Handover`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Number(pub RawFd);

/// A connection of a client that waits for nothing but its own next request.
#[derive(Debug)]
pub struct Idle {
    /// Its descriptor.
    pub socket: OwnedFd,
    /// What was read of the next request.
    pub read: Vec<u8>,
}

/// Descriptors that are to survive, on this side of the exec.
#[derive(Debug, Default)]
pub struct Keeper(BTreeMap<RawFd, OwnedFd>);

impl Keeper {
    /// Keeps a descriptor; gives its number.
    pub fn keep(&mut self, fd: OwnedFd) -> Number {
        let number = fd.as_raw_fd();
        self.0.insert(number, fd);
        Number(number)
    }

    /// Takes close-on-exec off all of them. Only when nothing else in this process can start another one.
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub fn expose(&self) -> io::Result<()> {
        self.0.values().try_for_each(keep_over_exec)
    }

    /// What they are for a successor in this very process.
    pub fn into_inherited(self) -> Inherited {
        Inherited(self.0)
    }
}

/// Descriptors that have survived, on the other side. Those that nobody takes are closed with this.
#[derive(Debug, Default)]
pub struct Inherited(BTreeMap<RawFd, OwnedFd>);

impl Inherited {
    /// Takes every open descriptor but standard input, output and error, and makes it close-on-exec. Call it at the start of
    /// the process, before anything was opened.
    pub fn take_all() -> Self {
        let names = fs::read_dir("/proc/self/fd").into_iter().flatten();
        let numbers: Vec<RawFd> = names
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|number| *number > 2)
            .collect();
        // That of the listing is closed by now, which is found out here.
        let open = numbers
            .into_iter()
            .filter_map(|number| Some((number, take_inherited(number).ok()?)));
        Self(open.collect())
    }

    /// Takes one.
    pub fn take(&mut self, number: Number) -> Option<OwnedFd> {
        self.0.remove(&number.0)
    }

    /// All that `fit`.
    pub fn all(&self, fit: impl Fn(&OwnedFd) -> bool) -> Vec<Number> {
        let fitting = self.0.iter().filter(|(_, fd)| fit(fd));
        fitting.map(|(number, _)| Number(*number)).collect()
    }

    /// The first one that `fits`.
    pub fn find(&self, fits: impl Fn(&OwnedFd) -> bool) -> Option<Number> {
        self.all(fits).first().copied()
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::{FdFlags, fcntl_getfd};

    use super::*;

    #[test]
    fn descriptors_are_exposed_and_taken_by_number() {
        let file = OwnedFd::from(fs::File::open("/dev/null").unwrap());
        let mut keeper = Keeper::default();
        let number = keeper.keep(file);
        keeper.expose().unwrap();
        let mut inherited = keeper.into_inherited();
        let fd = inherited.take(number).unwrap();
        assert_eq!(fcntl_getfd(&fd).unwrap(), FdFlags::empty());
        assert!(inherited.take(number).is_none());
    }
}
