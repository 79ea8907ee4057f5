//! Where the writable store keeps what, and how it writes.
//!
//! ```text
//! images/<hex>.json          an image's configuration, as it was loaded
//! images/.making-<hex>       its names are not written yet: without them it is none
//! images/repositories.json   names → image ids
//! layers/<hex of diff id>/   a layer: diff/ is its tree, size the bytes of its files, recipe how to pack it again,
//!                            origins.json the blobs that it is in registries, if it is
//! layers/.*                  in the making, or being deleted
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::Error;

/// How marks of unfinished images begin.
const MARK: &str = ".making-";

/// Paths of a writable store.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub fn repositories(&self) -> PathBuf {
        self.images().join("repositories.json")
    }

    pub fn config(&self, id: &Digest) -> PathBuf {
        self.images().join(format!("{}.json", id.hex()))
    }

    /// The mark of an image whose names are not written yet.
    pub fn mark(&self, id: &Digest) -> PathBuf {
        self.images().join(format!("{MARK}{}", id.hex()))
    }

    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    /// The tree of a layer's directory.
    pub fn tree(layer: &Path) -> PathBuf {
        layer.join("diff")
    }

    /// The file that says how to make a layer's archive again.
    pub fn recipe(layer: &Path) -> PathBuf {
        layer.join("recipe")
    }

    /// The file with the blobs that a layer is in registries.
    pub fn origins(layer: &Path) -> PathBuf {
        layer.join("origins.json")
    }

    /// The file with the bytes of a layer's files.
    pub fn size(layer: &Path) -> PathBuf {
        layer.join("size")
    }
}

/// Bytes that large files are copied by: with the few of [`io::copy`], the calls take as long as what they do.
pub const COPIED_AT_ONCE: usize = 128 << 10;

/// [`io::copy`] by way of a buffer that is at hand.
pub fn copy(reader: &mut impl Read, writer: &mut impl Write, buffer: &mut [u8]) -> io::Result<u64> {
    let mut copied = 0;
    loop {
        match reader.read(buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => {
                writer.write_all(&buffer[..count])?;
                copied += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes a file so that after a crash either the old or the new content is there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}-{}", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(Error::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::io("replace", path))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(Error::io("sync", parent))
}

/// Marks an image before its configuration is written. Both are in one directory, so the mark is not the later one on the
/// disk.
pub fn mark_unfinished(layout: &Layout, id: &Digest) -> Result<(), Error> {
    let mark = layout.mark(id);
    File::create(&mark)
        .map(drop)
        .map_err(Error::io("make", mark))
}

/// Takes the mark away, durably: the image is there.
pub fn mark_finished(layout: &Layout, id: &Digest) -> Result<(), Error> {
    let mark = layout.mark(id);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("remove", mark))?,
    }
    let directory = layout.images();
    File::open(&directory)
        .and_then(|directory| directory.sync_all())
        .map_err(Error::io("sync", directory))
}

/// Images with a mark.
pub fn unfinished(layout: &Layout) -> Result<Vec<Digest>, Error> {
    let directory = layout.images();
    let mut ids = Vec::new();
    for entry in fs::read_dir(&directory).map_err(Error::io("read", &directory))? {
        let name = entry.map_err(Error::io("read", &directory))?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_prefix(MARK))
            .and_then(|hex| format!("sha256:{hex}").parse().ok());
        ids.extend(id);
    }
    Ok(ids)
}

/// Removes what an interrupted change left in a directory: names that begin with a dot.
pub fn remove_leftovers(directory: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(directory).map_err(Error::io("read", directory))? {
        let entry = entry.map_err(Error::io("read", directory))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            let path = entry.path();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_directory {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.map_err(Error::io("remove", path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_leftovers_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        fs::create_dir_all(dir.path().join(".layer-1/diff")).unwrap();
        fs::write(dir.path().join(".x"), "").unwrap();
        remove_leftovers(dir.path()).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["f"]);
        assert_eq!(fs::read(path).unwrap(), b"two");
    }
}
