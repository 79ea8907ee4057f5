//! The upper directory of an overlay as a layer archive: overlayfs's marks become those of OCI (layer.md,
//! "Whiteouts").

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};
use tar::{Builder, EntryType, Header};

/// overlayfs's own attributes.
const OVERLAY: &[u8] = b"trusted.overlay.";
const OPAQUE: &str = "trusted.overlay.opaque";

/// Writes the archive; gives the number of its entries. Empty files and directories at `mount_points` (absolute) are
/// left out. Nothing may change `upper` meanwhile.
///
/// # Errors
/// When a file cannot be read, or the archive not written.
pub fn write(upper: &Path, mount_points: &[&str], out: impl Write) -> io::Result<usize> {
    let mut archive = Archive {
        builder: Builder::new(out),
        mount_points,
        links: HashMap::new(),
        entries: 0,
    };
    archive.children(upper, Path::new(""))?;
    archive.builder.finish()?;
    Ok(archive.entries)
}

struct Archive<'a, W: Write> {
    builder: Builder<W>,
    mount_points: &'a [&'a str],
    /// First names of files that have several, by inode.
    links: HashMap<u64, PathBuf>,
    entries: usize,
}

impl<W: Write> Archive<'_, W> {
    fn children(&mut self, directory: &Path, path: &Path) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.push(entry?.file_name());
        }
        names.sort_unstable();
        for name in names {
            self.add(&directory.join(&name), &path.join(&name))?;
        }
        Ok(())
    }

    fn add(&mut self, source: &Path, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(source)?;
        let kind = metadata.file_type();
        if self.is_mount_point(source, path, &metadata)? {
            return Ok(());
        }
        if kind.is_char_device() && metadata.rdev() == 0 {
            return self.mark(path.parent().unwrap_or(path), path.file_name());
        }
        if kind.is_socket() {
            return Ok(());
        }
        self.entries += 1;
        let mut header = header(&metadata);
        if !kind.is_dir() && metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&metadata.ino()) {
                header.set_entry_type(EntryType::Link);
                return self.builder.append_link(&mut header, path, first);
            }
            self.links.insert(metadata.ino(), path.to_owned());
        }
        self.attributes(source)?;
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.builder
                .append_data(&mut header, path.join(""), io::empty())?;
            let mut value = [0; 1];
            if matches!(lgetxattr(source, OPAQUE, &mut value), Ok(1)) && value == *b"y" {
                self.mark(path, None)?;
            }
            return self.children(source, path);
        }
        if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            let target = fs::read_link(source)?;
            return self.builder.append_link(&mut header, path, target);
        }
        if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            let content = File::open(source)?.take(metadata.len());
            return self.builder.append_data(&mut header, path, content);
        }
        header.set_entry_type(match () {
            () if kind.is_char_device() => EntryType::Char,
            () if kind.is_block_device() => EntryType::Block,
            () => EntryType::Fifo,
        });
        header.set_device_major(rustix::fs::major(metadata.rdev()))?;
        header.set_device_minor(rustix::fs::minor(metadata.rdev()))?;
        self.builder.append_data(&mut header, path, io::empty())
    }

    fn is_mount_point(&self, source: &Path, path: &Path, metadata: &Metadata) -> io::Result<bool> {
        let known = self
            .mount_points
            .iter()
            .any(|point| Path::new(point).strip_prefix("/") == Ok(path));
        Ok(known
            && match metadata.is_dir() {
                true => fs::read_dir(source)?.next().is_none(),
                false => metadata.is_file() && metadata.len() == 0,
            })
    }

    /// The mark of a deleted file; without a name that of a directory which hides what is below it.
    fn mark(&mut self, directory: &Path, deleted: Option<&OsStr>) -> io::Result<()> {
        let mut name = b".wh.".to_vec();
        name.extend_from_slice(deleted.map_or(b".wh..opq", OsStr::as_bytes));
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(0);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.entries += 1;
        let path = directory.join(OsStr::from_bytes(&name));
        self.builder.append_data(&mut header, path, io::empty())
    }

    /// Extended attributes go before their entry (`SCHILY.xattr.` of pax headers).
    fn attributes(&mut self, source: &Path) -> io::Result<()> {
        let mut names = Vec::with_capacity(64 << 10);
        if llistxattr(source, rustix::buffer::spare_capacity(&mut names)).is_err() {
            return Ok(());
        }
        let mut extensions: Vec<(String, Vec<u8>)> = Vec::new();
        for name in names.split(|byte| *byte == 0) {
            if name.is_empty() || name.starts_with(OVERLAY) {
                continue;
            }
            let mut value = Vec::with_capacity(64 << 10);
            let key = CString::new(name)?;
            lgetxattr(source, &key, rustix::buffer::spare_capacity(&mut value))?;
            let name = String::from_utf8_lossy(name);
            extensions.push((format!("SCHILY.xattr.{name}"), value));
        }
        if extensions.is_empty() {
            return Ok(());
        }
        extensions.sort();
        self.builder.append_pax_extensions(
            extensions
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice())),
        )
    }
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, mknodat};

    use super::*;

    #[test]
    fn marks_links_and_attributes_are_packed() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root for overlayfs's marks");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let upper = dir.path();
        for path in ["etc", "opaque", "dev", "proc/kept"] {
            fs::create_dir_all(upper.join(path)).unwrap();
        }
        fs::write(upper.join("etc/hosts"), "").unwrap();
        fs::write(upper.join("etc/a"), "text").unwrap();
        fs::hard_link(upper.join("etc/a"), upper.join("etc/b")).unwrap();
        symlink("/etc/a", upper.join("link")).unwrap();
        let node = |path: &str, kind| {
            mknodat(CWD, upper.join(path), kind, Mode::from_raw_mode(0o600), 0).unwrap();
        };
        node("etc/gone", FileType::CharacterDevice);
        node("pipe", FileType::Fifo);
        let mark = |path: &str, name: &str, value: &[u8]| {
            lsetxattr(upper.join(path), name, value, XattrFlags::empty())
        };
        if mark("opaque", OPAQUE, b"y").is_err() || mark("etc/a", "user.note", b"n").is_err() {
            eprintln!("skipped: {} has no extended attributes", upper.display());
            return;
        }
        let mut bytes = Vec::new();
        let mount_points = ["/etc/hosts", "/dev", "/proc"];
        let entries = write(upper, &mount_points, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = entry.path().unwrap().display().to_string();
                if let Some(target) = entry.link_name().unwrap() {
                    text += &format!(" -> {}", target.display());
                }
                for extension in entry.pax_extensions().unwrap().into_iter().flatten() {
                    text += &format!(" {}", extension.unwrap().key().unwrap());
                }
                text
            })
            .collect();
        let expected = [
            "etc/",
            "etc/a SCHILY.xattr.user.note",
            "etc/b -> etc/a",
            "etc/.wh.gone",
            "link -> /etc/a",
            "opaque/",
            "opaque/.wh..wh..opq",
            "pipe",
            "proc/",
            "proc/kept/",
        ];
        assert_eq!(found, expected);
        assert_eq!(entries, expected.len());
    }
}
