//! One engine at a time on a directory.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

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
        let begin = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK) if begin.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(20));
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::Conflict(format!(
                        "another engine works on {}: end it, or use another directory",
                        root.display()
                    )));
                }
                Err(error) => return Err(Error::io(format!("lock {}", path.display()), error)),
            }
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
        RootLock::take(dir.path()).unwrap();
    }
}
