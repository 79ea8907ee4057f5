//! The entries of an image archive as files, because the one that explains them comes last.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};

use crate::compression;
use crate::error::Error;
use crate::files::{COPIED_AT_ONCE, copy};

/// Most entries that an archive may have.
const ENTRY_LIMIT: usize = 100_000;
/// Largest manifest or configuration, in bytes.
const DOCUMENT_LIMIT: u64 = 8 << 20;

/// An archive's entries, in a directory that goes with it.
pub struct Spool {
    directory: PathBuf,
    entries: HashMap<String, Entry>,
}

enum Entry {
    /// Number of the file in the directory.
    File(usize),
    /// Another entry.
    Link(String),
}

impl Spool {
    /// Reads a whole archive, which may be compressed, into files below `directory`, which it makes.
    pub fn read(reader: impl Read, directory: PathBuf) -> Result<Self, Error> {
        fs::create_dir(&directory).map_err(Error::io("make", &directory))?;
        let mut spool = Self {
            directory,
            entries: HashMap::new(),
        };
        let plain = compression::decoder(reader).map_err(damaged)?;
        let mut archive = Archive::new(plain);
        let mut buffer = vec![0; COPIED_AT_ONCE];
        for (number, entry) in archive.entries().map_err(damaged)?.enumerate() {
            let mut entry = entry.map_err(damaged)?;
            if number == ENTRY_LIMIT {
                return Err(Error::Archive(format!(
                    "the archive has more than {ENTRY_LIMIT} entries"
                )));
            }
            let name = normalise("", &String::from_utf8_lossy(&entry.path_bytes()));
            let target = entry
                .link_name_bytes()
                .map(|target| String::from_utf8_lossy(&target).into_owned());
            match (entry.header().entry_type(), target) {
                (EntryType::Regular | EntryType::Continuous, _) => {
                    let path = spool.path(number);
                    let mut file = File::create_new(&path).map_err(Error::io("make", &path))?;
                    copy(&mut entry, &mut file, &mut buffer).map_err(damaged)?;
                    spool.entries.insert(name, Entry::File(number));
                }
                // The legacy format links layers that several images have.
                (EntryType::Symlink, Some(target)) => {
                    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
                    let target = normalise(parent, &target);
                    spool.entries.insert(name, Entry::Link(target));
                }
                (EntryType::Link, Some(target)) => {
                    let target = normalise("", &target);
                    spool.entries.insert(name, Entry::Link(target));
                }
                _ => {}
            }
        }
        Ok(spool)
    }

    /// The file of an entry; links are followed, within the archive.
    pub fn open(&self, name: &str) -> Result<File, Error> {
        let mut at = normalise("", name);
        for _ in 0..16 {
            match self.entries.get(&at) {
                Some(Entry::File(number)) => {
                    let path = self.path(*number);
                    return File::open(&path).map_err(Error::io("open", path));
                }
                Some(Entry::Link(target)) => at.clone_from(target),
                None => break,
            }
        }
        Err(Error::Archive(format!("the archive has no file {name}")))
    }

    /// Whether there is such an entry.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The content of a small entry.
    pub fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.open(name)?
            .take(DOCUMENT_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(damaged)?;
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            return Err(Error::Archive(format!(
                "{name} in the archive is larger than {DOCUMENT_LIMIT} bytes"
            )));
        }
        Ok(bytes)
    }

    fn path(&self, number: usize) -> PathBuf {
        self.directory.join(number.to_string())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What stays behind is removed when the store is opened.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn damaged(error: io::Error) -> Error {
    Error::Archive(format!("cannot read the archive: {error}"))
}

/// `path` seen from `base`, without `.`, `..` and empty components.
fn normalise(base: &str, path: &str) -> String {
    let mut components: Vec<&str> = if path.starts_with('/') {
        vec![]
    } else {
        base.split('/').collect()
    };
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            component => components.push(component),
        }
    }
    components.retain(|component| !component.is_empty());
    components.join("/")
}

/// A directory for a spool or a layer in the making, removed when the store is next opened.
pub fn temporary(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!(".{name}-{}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_within_the_archive() {
        for (base, path, expected) in [
            ("", "./a//b/", "a/b"),
            ("a", "../b/layer.tar", "b/layer.tar"),
            ("a", "../../../etc/passwd", "etc/passwd"),
            ("a", "/b", "b"),
        ] {
            assert_eq!(normalise(base, path), expected);
        }
    }
}
