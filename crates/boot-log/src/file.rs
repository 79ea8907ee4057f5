//! The boot log's file: whole reads, atomic writes, appends that survive several writers.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::Entry;

/// Where PID 1 keeps the boot log.
pub const DEFAULT_PATH: &str = "/run/coracle/boot.json";

/// Why the boot log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("cannot {action} boot log {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The file is not a boot log.
    #[error(
        "{path} is not a boot log: {source}; it is written by PID 1 at boot, remove it if it was edited"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What the JSON parser says.
        source: serde_json::Error,
    },
}

/// Reads the whole boot log. A file that does not exist is an empty log: nothing has been recorded yet.
///
/// # Errors
/// When the file cannot be read or is not a boot log.
pub fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::Format {
            path: path.into(),
            source,
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io {
            action: "read",
            path: path.into(),
            source,
        }),
    }
}

/// Replaces the whole boot log atomically (a reader sees the old or the new one). Missing directories are made.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, entries: &[Entry]) -> Result<(), Error> {
    let io = |action| {
        move |source| Error::Io {
            action,
            path: path.into(),
            source,
        }
    };
    let json = serde_json::to_vec(entries).map_err(|source| Error::Format {
        path: path.into(),
        source,
    })?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("make the directory of"))?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    // No fsync: the log lives in a tmpfs and means nothing after a crash.
    File::create(&temporary)
        .and_then(|mut file| file.write_all(&json))
        .map_err(io("write"))?;
    fs::rename(&temporary, path).map_err(io("replace"))
}

/// Adds entries at the end. Several threads or processes may do so at the same time: a lock file beside the log orders them.
///
/// # Errors
/// When the log cannot be read, locked or written.
pub fn append(path: &Path, entries: &[Entry]) -> Result<(), Error> {
    let io = |action| {
        move |source| Error::Io {
            action,
            path: path.into(),
            source,
        }
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("make the directory of"))?;
    }
    let lock = File::create(path.with_extension("lock")).map_err(io("lock"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|e| io("lock")(e.into()))?;
    let mut all = read(path)?;
    all.extend_from_slice(entries);
    write(path, &all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn entry(name: &str) -> Entry {
        Entry {
            kind: Kind::Service,
            name: name.into(),
            start_us: 1,
            end_us: 2,
            error: None,
        }
    }

    #[test]
    fn missing_log_reads_as_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&dir.path().join("boot.json")).unwrap(), []);
    }

    #[test]
    fn what_is_written_is_read_back_and_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("coracle/boot.json");
        write(&path, &[entry("a")]).unwrap();
        append(&path, &[entry("b"), entry("c")]).unwrap();
        assert_eq!(read(&path).unwrap(), [entry("a"), entry("b"), entry("c")]);
    }

    #[test]
    fn concurrent_appends_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot.json");
        std::thread::scope(|scope| {
            for i in 0..8 {
                let path = &path;
                scope.spawn(move || append(path, &[entry(&i.to_string())]).unwrap());
            }
        });
        let mut names: Vec<_> = read(&path).unwrap().into_iter().map(|e| e.name).collect();
        names.sort();
        assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn broken_log_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot.json");
        fs::write(&path, "[").unwrap();
        let text = read(&path).unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("{} is not a boot log: EOF", path.display())),
            "{text}"
        );
    }
}
