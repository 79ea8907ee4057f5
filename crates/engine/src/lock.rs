//! One engine at a time on a directory.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Doing, Error, Result};

/// In the engine's root.
const FILE: &str = "lock";
/// A killed engine holds the lock until its last thread is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Held by the engine that works on a root, until it ends, however it does.
#[derive(Debug)]
pub struct RootLock(#[expect(dead_code, reason = "closing it gives the lock back")] File);

impl RootLock {
    /// Takes the lock of `root`, which exists. Blocks for some seconds when another engine has it.
    ///
    /// # Errors
    /// When it still has it, or the file cannot be made.
    pub fn take(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        let file = File::create(&path).doing(|| format!("make {}", path.display()))?;
        let failed = |error| Error::io(format!("lock {}", path.display()), error);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Self(file)),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(failed(error)),
        }
        // flock(2) has no limit: a thread waits. When it is too late it gives the lock back.
        let (sender, receiver) = mpsc::sync_channel(1);
        let wait = move || {
            let locked = retry_on_intr(|| flock(&file, FlockOperation::LockExclusive));
            let _ = sender.send(locked.map(|()| file));
        };
        thread::Builder::new()
            .name("lock".into())
            .spawn(wait)
            .doing(|| "start a thread")?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(locked) => locked.map(Self).map_err(failed),
            Err(_) => Err(Error::Conflict(format!(
                "another engine works on {}: end it, or use another directory",
                root.display()
            ))),
        }
    }

    /// Whether an engine works on `root`.
    pub fn is_taken(root: &Path) -> bool {
        File::open(root.join(FILE)).is_ok_and(|file| {
            flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_there_as_long_as_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!RootLock::is_taken(dir.path()));
        let lock = RootLock::take(dir.path()).unwrap();
        assert!(RootLock::is_taken(dir.path()));
        drop(lock);
        assert!(!RootLock::is_taken(dir.path()));
        let lock = RootLock::take(dir.path()).unwrap();
        // Whoever waits gets it from the one that ends.
        thread::scope(|scope| {
            let waiting = scope.spawn(|| RootLock::take(dir.path()));
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
        assert!(!RootLock::is_taken(dir.path()));
    }
}
