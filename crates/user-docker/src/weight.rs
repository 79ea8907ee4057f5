//! The engine's share of the processors while it starts.
//!
//! At boot many services start at once on few processors: dockerd's main thread was measured to wait longer for one than it
//! ran. Only until it answers, because a large pull must not slow a shell down.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest weight there is (cgroup-v2.rst, "CPU Interface Files"); 100 is the usual one.
const LARGEST: &str = "10000";

/// An engine that takes longer than this waits for something else than processors.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A control group with the largest `cpu.weight`, until it is dropped.
#[derive(Debug)]
pub struct Raised {
    file: PathBuf,
    before: String,
}

impl Raised {
    /// Raises the weight of `group`. `None`, with a warning, where that is impossible: the engine starts more slowly then.
    #[must_use]
    pub fn of(group: &Path) -> Option<Self> {
        let file = group.join("cpu.weight");
        let raised = fs::read_to_string(&file).and_then(|before| {
            fs::write(&file, LARGEST)?;
            Ok(before)
        });
        match raised {
            Ok(before) => Some(Self { file, before }),
            Err(error) => {
                let file = file.display();
                tracing::warn!("cannot raise {file}: {error}; Docker may start more slowly");
                None
            }
        }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.file, self.before.trim_end()) {
            let file = self.file.display();
            tracing::warn!(
                "cannot set {file} back to {}: {error}",
                self.before.trim_end()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_raised_until_the_end_and_then_what_it_was() {
        let group = tempfile::tempdir().unwrap();
        let file = group.path().join("cpu.weight");
        fs::write(&file, "391\n").unwrap();
        let raised = Raised::of(group.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "10000");
        drop(raised);
        assert_eq!(fs::read_to_string(&file).unwrap(), "391");
    }

    #[test]
    fn a_group_without_the_controller_is_left_alone() {
        let group = tempfile::tempdir().unwrap();
        assert!(Raised::of(group.path()).is_none());
        assert_eq!(fs::read_dir(group.path()).unwrap().count(), 0);
    }
}
