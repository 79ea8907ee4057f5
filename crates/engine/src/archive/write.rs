//! Unpacking an archive into a directory of a container. Every name is resolved as a process in the container would:
//! neither `..` nor links of the archive or of the container lead out of its root.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chmodat, chownat, linkat,
    makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use crate::scoped;

/// How to unpack (API: `PUT /containers/{id}/archive`).
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtractOptions {
    /// A directory may not be replaced by something else, nor the other way round.
    pub keep_kinds: bool,
    /// Files belong to whom the archive says.
    pub copy_owner: bool,
}

/// Unpacks `input` into the directory `base` below `root`. `owner` are the ids that every file gets instead of the
/// archive's.
///
/// # Errors
/// When the archive is damaged or a file cannot be made; what was unpacked before stays.
pub fn extract(
    root: BorrowedFd<'_>,
    base: &Path,
    input: impl Read,
    options: ExtractOptions,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let mut archive = Archive::new(input);
    // Set when everything below is done: writing into a directory changes its time.
    let mut directories: Vec<(PathBuf, u64)> = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = relative(&entry.path()?);
        unpack(root, base, &mut entry, &path, options, owner).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        if entry.header().entry_type().is_dir() {
            directories.push((path, entry.header().mtime()?));
        }
    }
    for (path, time) in directories.into_iter().rev() {
        if let Ok(directory) = open_directory(root, &base.join(&path)) {
            utimensat(&directory, "", &times(time), AtFlags::EMPTY_PATH).or_else(ignore_invalid)?;
        }
    }
    Ok(())
}

/// A name of the archive without root, `.` and `..`.
fn relative(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

fn open_directory(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    scoped::open(root, path, OFlags::PATH | OFlags::DIRECTORY)
}

fn unpack<R: Read>(
    root: BorrowedFd<'_>,
    base: &Path,
    entry: &mut Entry<'_, R>,
    path: &Path,
    options: ExtractOptions,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let kind = entry.header().entry_type();
    let mode = entry.header().mode()? & 0o7777;
    let (uid, gid) = match owner {
        Some(owner) => owner,
        None => (id(entry.header().uid()?)?, id(entry.header().gid()?)?),
    };
    let Some(name) = path.file_name() else {
        // The directory itself: it stays as it is.
        return Ok(());
    };
    let parent = scoped::make_dir(root, &base.join(path.parent().unwrap_or(Path::new(""))))?;
    let parent = parent.as_fd();
    clear(parent, name, kind.is_dir(), options)?;
    match kind {
        EntryType::Directory => match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        },
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
            io::copy(entry, &mut file)?;
        }
        EntryType::Symlink => symlinkat(link(entry)?, parent, name)?,
        EntryType::Link => {
            let target = relative(&link(entry)?);
            let from =
                scoped::make_dir(root, &base.join(target.parent().unwrap_or(Path::new(""))))?;
            let last = target.file_name().unwrap_or(OsStr::new("."));
            // Not followed: a link to a link is one.
            return Ok(linkat(&from, last, parent, name, AtFlags::empty())?);
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            let header = entry.header();
            let device = makedev(
                header.device_major()?.unwrap_or(0),
                header.device_minor()?.unwrap_or(0),
            );
            let file_type = match kind {
                EntryType::Char => FileType::CharacterDevice,
                EntryType::Block => FileType::BlockDevice,
                _ => FileType::Fifo,
            };
            mknodat(parent, name, file_type, Mode::from_raw_mode(0o600), device)?;
        }
        // Global headers and kinds that nobody writes.
        _ => return Ok(()),
    }
    chownat(
        parent,
        name,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    if kind != EntryType::Symlink {
        chmod(parent, name, mode)?;
    }
    let time = entry.header().mtime()?;
    Ok(utimensat(
        parent,
        name,
        &times(time),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Takes away what is in the way of a new `name`. Directories stay where a directory comes.
fn clear(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    directory_comes: bool,
    options: ExtractOptions,
) -> io::Result<()> {
    let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let directory_is = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if options.keep_kinds && directory_is != directory_comes {
        let (there, comes) = if directory_is {
            ("directory", "non-directory")
        } else {
            ("non-directory", "directory")
        };
        return Err(io::Error::other(format!(
            "cannot overwrite {there} with {comes}"
        )));
    }
    match (directory_is, directory_comes) {
        (true, true) => Ok(()),
        (true, false) => Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?),
        (false, _) => Ok(unlinkat(parent, name, AtFlags::empty())?),
    }
}

/// Sets the mode of what was just made, and is no link.
fn chmod(parent: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::empty())?;
    // fchmodat follows links, and fchmod refuses path descriptors: their name in /proc is what works everywhere.
    let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    Ok(chmodat(
        rustix::fs::CWD,
        own,
        Mode::from_raw_mode(mode),
        AtFlags::empty(),
    )?)
}

fn link<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let name = entry.link_name()?;
    name.map(|name| name.into_owned())
        .ok_or_else(|| io::Error::other("link without a target"))
}

fn id(number: u64) -> io::Result<u32> {
    u32::try_from(number)
        .map_err(|_| io::Error::other(format!("owner {number} does not exist on Linux")))
}

fn times(seconds: u64) -> Timestamps {
    let time = Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(0),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Kernels before 5.8 do not set times through path descriptors.
fn ignore_invalid(error: Errno) -> Result<(), Errno> {
    if error == Errno::INVAL || error == Errno::BADF {
        Ok(())
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use tar::{Builder, Header};

    use super::*;

    fn entry(
        builder: &mut Builder<Vec<u8>>,
        kind: EntryType,
        name: &str,
        link: &str,
        content: &str,
    ) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1000);
        header.set_uid(5);
        header.set_gid(6);
        // The checked setters refuse the names that a hostile archive has.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }

    fn run(
        dir: &Path,
        entries: &[(EntryType, &str, &str, &str)],
        options: ExtractOptions,
    ) -> io::Result<()> {
        let mut builder = Builder::new(Vec::new());
        for (kind, name, link, content) in entries {
            entry(&mut builder, *kind, name, link, content);
        }
        let archive = builder.into_inner().unwrap();
        fs::create_dir_all(dir.join("in")).unwrap();
        let root = scoped::root(dir).unwrap();
        extract(
            root.as_fd(),
            Path::new("in"),
            archive.as_slice(),
            options,
            None,
        )
    }

    #[test]
    fn files_are_made_with_their_attributes() {
        let dir = tempfile::tempdir().unwrap();
        let entries = [
            (EntryType::Directory, "d/", "", ""),
            (EntryType::Regular, "d/file", "", "text"),
            (EntryType::Symlink, "d/soft", "file", ""),
            (EntryType::Link, "d/hard", "d/file", ""),
            (EntryType::Regular, "deep/er/file", "", "x"),
        ];
        run(
            dir.path(),
            &entries,
            ExtractOptions {
                copy_owner: true,
                ..ExtractOptions::default()
            },
        )
        .unwrap();
        let file = fs::metadata(dir.path().join("in/d/file")).unwrap();
        assert_eq!(
            (
                file.mode() & 0o7777,
                file.uid(),
                file.gid(),
                file.mtime(),
                file.nlink()
            ),
            (0o640, 5, 6, 1000, 2)
        );
        assert_eq!(
            fs::read_to_string(dir.path().join("in/d/soft")).unwrap(),
            "text"
        );
        assert_eq!(fs::metadata(dir.path().join("in/d")).unwrap().mtime(), 1000);
        assert_eq!(
            fs::read_to_string(dir.path().join("in/deep/er/file")).unwrap(),
            "x"
        );
        // Again, over what is there.
        run(dir.path(), &entries, ExtractOptions::default()).unwrap();
    }

    #[test]
    fn hostile_names_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let absolute = format!("{}/planted", outside.path().display());
        let entries = [
            (EntryType::Regular, "../../up", "", "x"),
            (EntryType::Regular, absolute.as_str(), "", "x"),
            (EntryType::Symlink, "link", "/etc", ""),
            (EntryType::Regular, "link/planted", "", "x"),
            (EntryType::Symlink, "climb", "../../../../etc", ""),
            (EntryType::Regular, "climb/too", "", "x"),
        ];
        run(dir.path(), &entries, ExtractOptions::default()).unwrap();
        assert!(dir.path().join("in/up").exists());
        assert!(dir.path().join("etc/planted").exists());
        assert!(dir.path().join("etc/too").exists());
        assert!(!Path::new("/etc/planted").exists());
        symlink(outside.path(), dir.path().join("in/escape")).unwrap();
        let escape = [(EntryType::Regular, "escape/planted", "", "x")];
        // Inside, the link leads nowhere.
        assert!(run(dir.path(), &escape, ExtractOptions::default()).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn kinds_are_kept_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("in/d")).unwrap();
        let keep = ExtractOptions {
            keep_kinds: true,
            ..ExtractOptions::default()
        };
        let error = run(dir.path(), &[(EntryType::Regular, "d", "", "x")], keep).unwrap_err();
        assert_eq!(
            error.to_string(),
            "d: cannot overwrite directory with non-directory"
        );
        run(
            dir.path(),
            &[(EntryType::Regular, "d", "", "x")],
            ExtractOptions::default(),
        )
        .unwrap();
        assert!(dir.path().join("in/d").is_file());
    }
}
