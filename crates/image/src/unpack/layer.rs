//! `unpack layer`: one layer archive becomes a directory tree for overlayfs.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, open};
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};

use super::Message;
use super::tree::{Metadata, Tree, is_mark};
use crate::compression;
use crate::digest::Digest;
use crate::error::Error;
use crate::recipe::{Recorded, Recorder};

/// Unpacks `input` into `target`, whose file system root the process first makes its own; the recipe goes to descriptor 3.
pub fn run(input: impl Read, target: &Path, diff_id: Option<&Digest>) -> Result<(), Error> {
    let recipe = coracle_sys::fd::take_inherited(3).map_err(Error::io("use", "descriptor 3"))?;
    rustix::process::chroot(target).map_err(Error::io("change root to", target))?;
    rustix::process::chdir("/").map_err(Error::io("change directory to", "/"))?;
    // As the archive says, not less.
    rustix::process::umask(Mode::empty());
    let (diff_id, size) = unpack(input, Path::new("/"), File::from(recipe), diff_id)?;
    Message::Unpacked { diff_id, size }
        .send()
        .map_err(Error::io("write to", "stdout"))
}

/// Unpacks a layer, compressed or not, into the directory `root`; gives the digest of the
/// uncompressed archive and the bytes of its files.
///
/// # Errors
/// [`Error::Archive`] names the entry that is wrong, or both digests when the content is not that of `diff_id`.
pub fn unpack(
    reader: impl Read,
    root: &Path,
    recipe: File,
    diff_id: Option<&Digest>,
) -> Result<(Digest, u64), Error> {
    let damaged = |error: io::Error| Error::Archive(format!("layer: {error}"));
    let unwritable =
        |error: io::Error| Error::Archive(format!("the layer's recipe cannot be written: {error}"));
    let mut recipe = zstd::Encoder::new(recipe, RECIPE_LEVEL).map_err(unwritable)?;
    let recorder = Recorder::shared(&mut recipe);
    let hashed = Hashed {
        reader: compression::decoder(reader).map_err(damaged)?,
        hasher: Sha256::new(),
    };
    let mut reader = Recorded {
        reader: hashed,
        recorder: Rc::clone(&recorder),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(root, flags, Mode::empty()).map_err(Error::io("open", root))?;
    let mut tree = Tree::new(root);
    entries(&mut reader, &recorder, &mut tree)?;
    // The digest is of the whole archive, with what follows its end mark.
    io::copy(&mut reader, &mut io::sink()).map_err(damaged)?;
    recorder.borrow_mut().finish().map_err(unwritable)?;
    let size = tree.finish()?;
    let found = Digest::from_hasher(reader.reader.hasher);
    drop(recorder);
    drop(reader.recorder);
    recipe
        .finish()
        .and_then(|file| file.sync_all())
        .map_err(unwritable)?;
    match diff_id {
        Some(expected) if *expected != found => Err(Error::Archive(format!(
            "layer is damaged: its digest is {found}, expected {expected}"
        ))),
        _ => Ok((found, size)),
    }
}

/// Headers are so repetitive that a higher level gains little.
const RECIPE_LEVEL: i32 = 3;

fn entries<W: Write>(
    reader: impl Read,
    recorder: &RefCell<Recorder<W>>,
    tree: &mut Tree,
) -> Result<(), Error> {
    let damaged = |error: io::Error| Error::Archive(format!("layer: {error}"));
    let mut archive = Archive::new(reader);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path_bytes().into_owned();
        // Sparse files have another content than the archive's bytes; deletion marks leave no file.
        let content_is_kept = entry.header().entry_type() == EntryType::Regular && !is_mark(&path);
        if content_is_kept {
            recorder.borrow_mut().begin_file(&path);
        }
        add(&mut entry, &path, tree).map_err(|error| {
            Error::Archive(format!(
                "layer entry {}: {error}",
                String::from_utf8_lossy(&path)
            ))
        })?;
        recorder.borrow_mut().end_file();
    }
    Ok(())
}

fn add(entry: &mut tar::Entry<'_, impl Read>, path: &[u8], tree: &mut Tree) -> io::Result<()> {
    let metadata = metadata(entry)?;
    let link = entry.link_name_bytes().map(|name| name.into_owned());
    let link = || {
        link.as_deref()
            .ok_or_else(|| io::Error::other("a link without target"))
    };
    let header = entry.header();
    let device = || -> io::Result<u64> {
        let major = header
            .device_major()?
            .ok_or_else(|| io::Error::other("a device without number"))?;
        Ok(rustix::fs::makedev(
            major,
            header.device_minor()?.unwrap_or(0),
        ))
    };
    match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            tree.file(path, &metadata, entry)
        }
        EntryType::Directory => tree.directory(path, &metadata),
        EntryType::Symlink => tree.symlink(path, link()?, &metadata),
        EntryType::Link => tree.hard_link(path, link()?),
        EntryType::Char => tree.node(
            path,
            rustix::fs::FileType::CharacterDevice,
            device()?,
            &metadata,
        ),
        EntryType::Block => tree.node(
            path,
            rustix::fs::FileType::BlockDevice,
            device()?,
            &metadata,
        ),
        EntryType::Fifo => tree.node(path, rustix::fs::FileType::Fifo, 0, &metadata),
        EntryType::XGlobalHeader => Ok(()),
        other => Err(io::Error::other(format!(
            "unknown type {:?}",
            char::from(other.as_byte())
        ))),
    }
}

/// Owner, mode, time and extended attributes, from the header and its PAX extensions.
fn metadata(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Metadata> {
    let header = entry.header();
    let fields = header.as_old();
    let mut metadata = Metadata {
        uid: owner(unless_blank(&fields.uid, || header.uid())?)?,
        gid: owner(unless_blank(&fields.gid, || header.gid())?)?,
        mode: unless_blank(&fields.mode, || header.mode())? & 0o7777,
        seconds: i64::try_from(unless_blank(&fields.mtime, || header.mtime())?).unwrap_or(0),
        nanoseconds: 0,
        attributes: Vec::new(),
    };
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension.map_err(|_| {
            io::Error::other("an extended header that is damaged or holds a newline")
        })?;
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            metadata.attributes.push((name.to_vec(), value.to_vec()));
        } else if key == b"mtime"
            && let Some((seconds, nanoseconds)) = time(value)
        {
            (metadata.seconds, metadata.nanoseconds) = (seconds, nanoseconds);
        }
    }
    Ok(metadata)
}

/// A user or group. The largest number means "do not change" to the kernel, and is nobody's (chown(2)).
fn owner(value: u64) -> io::Result<u32> {
    let number = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
    number.ok_or_else(|| io::Error::other(format!("owner {value} is too large")))
}

/// A number of a header; left blank, as some writers do, it is 0.
fn unless_blank<T: Default>(field: &[u8], value: impl Fn() -> io::Result<T>) -> io::Result<T> {
    if field.iter().all(|b| matches!(b, 0 | b' ')) {
        Ok(T::default())
    } else {
        value()
    }
}

/// Decimal seconds with an optional fraction (POSIX pax, "mtime").
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    // Before 1970 the fraction counts backwards.
    Some(match (whole.starts_with('-'), nanoseconds) {
        (true, 1..) => (seconds - 1, 1_000_000_000 - nanoseconds),
        _ => (seconds, nanoseconds),
    })
}

struct Hashed<R> {
    reader: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
