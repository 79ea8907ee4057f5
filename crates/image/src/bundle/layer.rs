//! The archive of a bundled layer: written by the image builder, whose digest of it is the layer's `diff_id`, and made
//! again out of the unpacked tree when the image is saved or pushed.
//!
//! Nothing in it depends on when or where it was written: entries are in the order of their paths' bytes, and only what
//! a file system keeps is in their headers. Files with several names are written once for each; extended attributes, which the builder
//! has none of, are left out.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::recipe::Recorder;

/// What an entry is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file and its bytes.
    File(u64),
    /// A symbolic link and its target.
    Symlink(PathBuf),
    /// A character device's major and minor number.
    CharDevice(u32, u32),
}

/// An entry without its path and content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Last modification, in seconds since 1970.
    pub mtime: u64,
}

/// Appends an entry. `path` is relative; `content` is that of a file, and empty for everything else.
///
/// # Errors
/// When the archive cannot be written, or a number does not fit into it.
pub fn append(
    builder: &mut Builder<impl Write>,
    path: &Path,
    attributes: &Attributes,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(attributes.mtime);
    header.set_mode(attributes.mode);
    header.set_uid(attributes.uid);
    header.set_gid(attributes.gid);
    header.set_size(0);
    match &attributes.kind {
        Kind::Directory => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, path.join(""), io::empty())
        }
        Kind::File(size) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(*size);
            builder.append_data(&mut header, path, content)
        }
        Kind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)
        }
        Kind::CharDevice(major, minor) => {
            header.set_entry_type(EntryType::Char);
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            builder.append_data(&mut header, path, io::empty())
        }
    }
}

/// The recipe ([`crate::recipe`]) of the archive of the tree at `root`. Whether that is the builder's is seen by its digest.
///
/// # Errors
/// When the tree cannot be read, or holds what the builder never puts into a layer.
pub(crate) fn recipe(root: &Path) -> io::Result<Vec<u8>> {
    let mut paths = Vec::new();
    list(root, Path::new(""), &mut paths)?;
    paths.sort_unstable_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    let recorder = Recorder::new(zstd::Encoder::new(Vec::new(), 1)?);
    let mut builder = Builder::new(Recording(recorder));
    for path in paths {
        let attributes = attributes(&root.join(&path))?;
        // Without the content this writes the header alone.
        append(&mut builder, &path, &attributes, io::empty())?;
        if let Kind::File(length) = attributes.kind {
            let Recording(recorder) = builder.get_mut();
            recorder.add_file(path.as_os_str().as_bytes(), length);
            let padding = length.next_multiple_of(512) - length;
            io::copy(&mut io::repeat(0).take(padding), builder.get_mut())?;
        }
    }
    let Recording(mut recorder) = builder.into_inner()?;
    recorder.finish()?;
    recorder.into_inner().finish()
}

/// Paths of everything below a directory.
fn list(root: &Path, directory: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        paths.push(path.clone());
        if entry.file_type()?.is_dir() {
            list(root, &path, paths)?;
        }
    }
    Ok(())
}

fn attributes(path: &Path) -> io::Result<Attributes> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_file() => Kind::File(metadata.len()),
        kind if kind.is_symlink() => Kind::Symlink(fs::read_link(path)?),
        kind if kind.is_char_device() => {
            let device = metadata.rdev();
            Kind::CharDevice(rustix::fs::major(device), rustix::fs::minor(device))
        }
        _ => {
            let path = path.display();
            return Err(io::Error::other(format!("{path} is of an unexpected kind")));
        }
    };
    Ok(Attributes {
        kind,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid().into(),
        gid: metadata.gid().into(),
        mtime: u64::try_from(metadata.mtime()).unwrap_or(0),
    })
}

/// Lets a recorder see what is written.
struct Recording<W: Write>(Recorder<W>);

impl<W: Write> Write for Recording<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.saw(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
