//! Opening paths inside a container's root: symbolic links cannot lead out of it (`openat2(2)`, `RESOLVE_IN_ROOT`).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;

/// Opens a directory to be used as a root.
///
/// # Errors
/// When it is no directory.
pub fn root(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(
        CWD,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Opens `path` as a process whose root is `root` would.
///
/// # Errors
/// Those of `openat2(2)`.
pub fn open(root: impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let mut tries = 0;
    loop {
        let result = openat2(
            &root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT,
        );
        match result {
            // Something was renamed meanwhile and the kernel could not be sure.
            Err(Errno::AGAIN) if tries < 32 => tries += 1,
            result => return Ok(result?),
        }
    }
}

/// Opens a directory, making what is missing of its path (owned by root, mode 0755).
///
/// # Errors
/// Those of `openat2(2)` and `mkdirat(2)`.
pub fn make_dir(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let root = root.as_fd();
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    match open(root, path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let parent = make_dir(root, parent)?;
    match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    open(root, path, OFlags::PATH | OFlags::DIRECTORY)
}

/// The text of a small file; empty when it does not exist.
///
/// # Errors
/// When it exists and cannot be read.
pub fn read_to_string(root: impl AsFd, path: &Path) -> io::Result<String> {
    /// No passwd file is as large; a device or a trap may be.
    const LIMIT: u64 = 4 << 20;
    let file = match open(
        root,
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
    ) {
        Ok(fd) => File::from(fd),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", dir.path().join("absolute")).unwrap();
        symlink("../../../../etc/passwd", dir.path().join("etc/relative")).unwrap();
        let root = root(dir.path()).unwrap();
        for path in [
            "etc/passwd",
            "/etc/passwd",
            "/absolute",
            "/etc/relative",
            "/../../etc/passwd",
        ] {
            assert_eq!(
                read_to_string(&root, Path::new(path)).unwrap(),
                "inside",
                "{path}"
            );
        }
        assert_eq!(read_to_string(&root, Path::new("/none")).unwrap(), "");
        make_dir(&root, Path::new("/etc/../a/b")).unwrap();
        assert!(dir.path().join("a/b").is_dir());
    }
}
