//! Writing files so that a reader sees the old or the new content, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Doing, Error, Result};

/// How sure a write must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// On the disk when the call returns: what a client was promised.
    Synced,
    /// After a power cut either the old or the new content, or nothing in a file that was new: states that a start-up corrects
    /// anyway.
    Ordered,
}

/// Extension of what is being written.
pub const UNFINISHED: &str = "new";

/// Removes what interrupted writes have left in `dir`. Nobody needs it: a failure is reported only.
pub fn remove_unfinished(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|found| found == UNFINISHED)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!("remove {}: {error}", path.display());
        }
    }
}

/// Replaces `path` by `content` through a rename.
///
/// # Errors
/// When a file or its directory cannot be written; then `path` is as before.
pub fn replace(path: &Path, content: &[u8], durability: Durability) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".");
    temporary.push(UNFINISHED);
    let temporary = Path::new(&temporary);
    let doing = || format!("write {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temporary)
        .doing(doing)?;
    file.write_all(content).doing(doing)?;
    if durability == Durability::Synced {
        file.sync_all().doing(doing)?;
    }
    fs::rename(temporary, path).doing(doing)?;
    if durability == Durability::Synced
        && let Some(parent) = path.parent()
    {
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .doing(doing)?;
    }
    Ok(())
}

/// Writes `value` as JSON.
///
/// # Errors
/// As [`replace`].
pub fn write_json(path: &Path, value: &impl Serialize, durability: Durability) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::Internal(format!("encode {}: {error}", path.display())))?;
    replace(path, &text, durability)
}

/// Reads JSON.
///
/// # Errors
/// When the file cannot be read or holds something else; the text names file, line and column.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).doing(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::Internal(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        for durability in [Durability::Synced, Durability::Ordered] {
            write_json(&path, &vec![1, 2], durability).unwrap();
            assert_eq!(read_json::<Vec<u32>>(&path).unwrap(), [1, 2]);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(&path, "[1,").unwrap();
        let message = read_json::<Vec<u32>>(&path).unwrap_err().to_string();
        assert!(
            message.ends_with("x.json: EOF while parsing a value at line 1 column 3"),
            "{message}"
        );
    }
}
