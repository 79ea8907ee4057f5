//! Writing files so that a reader, and after a power cut the next boot, finds the old content or the new one.

use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::account::Ids;
use crate::error::Error;

/// Writes `content` with `mode` (and `owner`, else root), creating parent directories (0755). Replaces by rename; a mount point
/// (`/etc/hosts` and its like are bind mounts in containers) is written in place. No fsync: most of these files are made
/// again at each start, and ext4 writes the data of a file before it renames it over another (auto_da_alloc).
///
/// # Errors
/// A directory or the file cannot be written.
pub fn replace(path: &Path, content: &[u8], mode: u32, owner: Option<Ids>) -> Result<(), Error> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    }
    let temporary = temporary_beside(path);
    let result = write_new(&temporary, content, mode, owner).and_then(|()| {
        match std::fs::rename(&temporary, path) {
            // EBUSY: a mount point cannot be replaced.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::fs::remove_file(&temporary)?;
                write_in_place(path, content, mode, owner)
            }
            other => other,
        }
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result.map_err(Error::file("write", path))
}

/// Like [`replace`], and on the disk when it returns: for what can be made only once.
///
/// # Errors
/// Those of [`replace`].
pub fn replace_durably(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, content, mode, None)?;
    let sync = |path: &Path| std::fs::File::open(path).and_then(|file| file.sync_all());
    sync(path).map_err(Error::file("flush", path))?;
    match path.parent() {
        Some(directory) => sync(directory).map_err(Error::file("flush", directory)),
        None => Ok(()),
    }
}

/// Like [`replace`], but leaves a file with this content alone. Returns whether it was written.
///
/// # Errors
/// Those of [`replace`].
pub fn replace_if_different(path: &Path, content: &[u8], mode: u32) -> Result<bool, Error> {
    if std::fs::read(path).is_ok_and(|current| current == content) {
        return Ok(false);
    }
    replace(path, content, mode, None)?;
    Ok(true)
}

/// Makes a directory with its parents and gives it this mode and owner, also when it exists.
///
/// # Errors
/// The directory cannot be made or changed.
pub fn directory(path: &Path, mode: u32, owner: Option<Ids>) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(Error::file("create", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(Error::file("set the mode of", path))?;
    if let Some(ids) = owner {
        chown(path, Some(ids.uid), Some(ids.gid)).map_err(Error::file("set the owner of", path))?;
    }
    Ok(())
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn write_new(path: &Path, content: &[u8], mode: u32, owner: Option<Ids>) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    // The umask has no say in modes that were asked for.
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    if let Some(ids) = owner {
        std::os::unix::fs::fchown(&file, Some(ids.uid), Some(ids.gid))?;
    }
    Ok(())
}

fn write_in_place(path: &Path, content: &[u8], mode: u32, owner: Option<Ids>) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    if let Some(ids) = owner {
        std::os::unix::fs::fchown(&file, Some(ids.uid), Some(ids.gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_parents_are_as_asked_and_nothing_is_left_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/file");
        replace(&path, b"one", 0o600, None).unwrap();
        replace(&path, b"two", 0o755, None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert!(!replace_if_different(&path, b"two", 0o755).unwrap());
        assert!(replace_if_different(&path, b"three", 0o755).unwrap());
        let names: Vec<_> = std::fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["file"]);
    }

    #[test]
    fn failure_names_the_file() {
        let error = replace(Path::new("/proc/nothing/file"), b"", 0o644, None).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot create /proc/nothing: "),
            "{error}"
        );
    }
}
