//! Filling a new volume with what the image has at its mount point.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    lgetxattr, llistxattr, lsetxattr, mknodat, utimensat,
};

/// Copies the content of directory `from` into the empty directory `to`, with owners, modes, times, attributes and
/// special files; `to` itself gets those of `from`. Does nothing when `to` is not empty. Nothing may change `from`
/// meanwhile. Blocks.
///
/// # Errors
/// The first file that cannot be copied.
pub fn copy_up(from: &Path, to: &Path) -> io::Result<()> {
    if fs::read_dir(to)?.next().is_some() {
        return Ok(());
    }
    copy_content(from, to)?;
    copy_attributes(from, to, &fs::symlink_metadata(from)?)
}

fn copy_content(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = fs::symlink_metadata(&source)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_content(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
        } else {
            let kind = match kind {
                kind if kind.is_char_device() => FileType::CharacterDevice,
                kind if kind.is_block_device() => FileType::BlockDevice,
                kind if kind.is_fifo() => FileType::Fifo,
                // A socket in an image is of no use to anybody.
                _ => continue,
            };
            mknodat(
                CWD,
                &target,
                kind,
                Mode::from_raw_mode(metadata.mode() & 0o7777),
                metadata.rdev(),
            )?;
        }
        copy_attributes(&source, &target, &metadata)?;
    }
    Ok(())
}

fn copy_attributes(source: &Path, target: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    chownat(CWD, target, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if !metadata.is_symlink() {
        // After chown, which clears the set-user-id bit.
        chmodat(
            CWD,
            target,
            Mode::from_raw_mode(metadata.mode() & 0o7777),
            AtFlags::empty(),
        )?;
    }
    copy_xattrs(source, target)?;
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: metadata.atime(),
            tv_nsec: metadata.atime_nsec(),
        },
        last_modification: Timespec {
            tv_sec: metadata.mtime(),
            tv_nsec: metadata.mtime_nsec(),
        },
    };
    Ok(utimensat(CWD, target, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies the attributes that belong to the file; those of the overlay itself (`trusted.overlay.*`) are not visible
/// through the mount. A target that has no attributes (tmpfs of old kernels) is no error.
fn copy_xattrs(source: &Path, target: &Path) -> io::Result<()> {
    let mut names = Vec::with_capacity(1024);
    if llistxattr(source, rustix::buffer::spare_capacity(&mut names)).is_err() {
        return Ok(());
    }
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let name = CString::new(std::ffi::OsStr::from_bytes(name).as_bytes())?;
        let mut value = Vec::with_capacity(64 * 1024);
        lgetxattr(source, &name, rustix::buffer::spare_capacity(&mut value))?;
        match lsetxattr(target, &name, &value, XattrFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_tree_is_copied_once_with_its_attributes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("sub/file"), "text").unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o1777)).unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        mknodat(
            CWD,
            from.join("pipe"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();

        copy_up(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("sub/file")).unwrap(), "text");
        assert_eq!(
            fs::metadata(to.join("sub/file")).unwrap().mode() & 0o7777,
            0o4750
        );
        assert_eq!(fs::metadata(&to).unwrap().mode() & 0o7777, 0o1777);
        assert_eq!(
            fs::read_link(to.join("link")).unwrap(),
            Path::new("/nowhere")
        );
        assert!(
            fs::symlink_metadata(to.join("pipe"))
                .unwrap()
                .file_type()
                .is_fifo()
        );

        fs::remove_file(to.join("link")).unwrap();
        copy_up(&from, &to).unwrap();
        assert!(!to.join("link").exists());
    }
}
