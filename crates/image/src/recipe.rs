//! How to make a layer's archive again, byte for byte, out of its unpacked tree.
//!
//! While a layer is unpacked, everything of the archive that is not a file's content is written down: headers,
//! padding, end mark. For a content there is only the file's path. `docker save` puts both together again, so a layer is
//! stored once and keeps its digest.
//!
//! The recipe is a zstd stream of records: `L`, length, bytes; or `F`, length, path, content length. Lengths are 64-bit
//! little-endian.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

const LITERAL: u8 = b'L';
const FILE: u8 = b'F';
/// Literal bytes are collected up to this many.
const CHUNK: usize = 64 << 10;
/// Longest literal and path that are believed when reading.
const LENGTH_LIMIT: u64 = 1 << 20;

/// Writes a recipe down.
pub struct Recorder<W: Write> {
    out: W,
    literal: Vec<u8>,
    /// The file whose content is passing by, and how much of it has.
    file: Option<(Vec<u8>, u64)>,
    error: Option<io::Error>,
}

impl<W: Write> Recorder<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            literal: Vec::new(),
            file: None,
            error: None,
        }
    }

    /// One that also a [`Recorded`] reader has.
    pub fn shared(out: W) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self::new(out)))
    }

    /// What follows is the content of a file, which does not pass by.
    pub fn add_file(&mut self, path: &[u8], length: u64) {
        self.file = Some((path.to_vec(), length));
        self.end_file();
    }

    /// What follows is the content of a file.
    pub fn begin_file(&mut self, path: &[u8]) {
        self.file = Some((path.to_vec(), 0));
    }

    /// It was; what follows is not.
    pub fn end_file(&mut self) {
        let Some((path, length)) = self.file.take() else {
            return;
        };
        if length == 0 {
            return;
        }
        self.flush();
        self.put(&[FILE]);
        self.put(&(path.len() as u64).to_le_bytes());
        self.put(&path);
        self.put(&length.to_le_bytes());
    }

    /// Writes the rest.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush();
        self.error.take().map_or(Ok(()), Err)
    }

    /// The recipe, once it is finished.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// These bytes pass by.
    pub fn saw(&mut self, bytes: &[u8]) {
        match &mut self.file {
            Some((_, length)) => *length += bytes.len() as u64,
            None => {
                self.literal.extend_from_slice(bytes);
                if self.literal.len() >= CHUNK {
                    self.flush();
                }
            }
        }
    }

    fn flush(&mut self) {
        if self.literal.is_empty() {
            return;
        }
        let literal = std::mem::take(&mut self.literal);
        self.put(&[LITERAL]);
        self.put(&(literal.len() as u64).to_le_bytes());
        self.put(&literal);
    }

    /// The first error is kept for the end: recording must not disturb the reading.
    fn put(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.error = self.out.write_all(bytes).err();
        }
    }
}

/// A reader that lets a recorder see what passes.
pub struct Recorded<R, W: Write> {
    pub reader: R,
    pub recorder: Rc<RefCell<Recorder<W>>>,
}

impl<R: Read, W: Write> Read for Recorded<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.recorder.borrow_mut().saw(&buffer[..count]);
        Ok(count)
    }
}

/// Reads the archive that a recipe and a tree give.
pub struct Replay<R> {
    recipe: R,
    tree: OwnedFd,
    part: Part,
    hasher: Sha256,
    /// Checked at the end.
    expected: Digest,
}

enum Part {
    Literal(io::Cursor<Vec<u8>>),
    Content(io::Take<File>),
}

enum Record {
    Literal(Vec<u8>),
    File { path: Vec<u8>, length: u64 },
}

impl<R: Read> Replay<R> {
    pub fn new(recipe: R, tree: OwnedFd, expected: Digest) -> Self {
        Self {
            recipe,
            tree,
            part: Part::Literal(io::Cursor::default()),
            hasher: Sha256::new(),
            expected,
        }
    }

    fn next_part(&mut self) -> io::Result<bool> {
        self.part = match read_record(&mut self.recipe)? {
            None => return Ok(false),
            Some(Record::Literal(bytes)) => Part::Literal(io::Cursor::new(bytes)),
            Some(Record::File { path, length }) => {
                let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let file = File::from(openat2(&self.tree, &*path, flags, Mode::empty(), resolve)?);
                let found = file.metadata()?.len();
                if found != length {
                    let path = String::from_utf8_lossy(&path);
                    return Err(io::Error::other(format!(
                        "{path} has {found} bytes, {length} when it was unpacked"
                    )));
                }
                Part::Content(file.take(length))
            }
        };
        Ok(true)
    }
}

impl<R: Read> Read for Replay<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.part {
                Part::Literal(bytes) => bytes.read(buffer)?,
                Part::Content(file) => file.read(buffer)?,
            };
            if count > 0 || buffer.is_empty() {
                self.hasher.update(&buffer[..count]);
                return Ok(count);
            }
            if !self.next_part()? {
                let found = Digest::from_hasher(self.hasher.clone());
                if found != self.expected {
                    return Err(io::Error::other(format!(
                        "the layer has changed: its digest is now {found}"
                    )));
                }
                return Ok(0);
            }
        }
    }
}

/// Bytes of the archive that a recipe makes.
pub fn length(mut recipe: impl Read) -> io::Result<u64> {
    let mut total = 0;
    while let Some(record) = read_record(&mut recipe)? {
        total += match record {
            Record::Literal(bytes) => bytes.len() as u64,
            Record::File { length, .. } => length,
        };
    }
    Ok(total)
}

/// Opens a recipe for reading.
pub fn open<R: Read>(recipe: R) -> io::Result<impl Read + use<R>> {
    Ok(BufReader::new(zstd::Decoder::new(recipe)?))
}

fn read_record(recipe: &mut impl Read) -> io::Result<Option<Record>> {
    let mut tag = [0];
    if recipe.read(&mut tag)? == 0 {
        return Ok(None);
    }
    let length = read_number(recipe)?;
    if length > LENGTH_LIMIT {
        return Err(io::Error::other("a damaged recipe"));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    recipe.read_exact(&mut bytes)?;
    match tag[0] {
        LITERAL => Ok(Some(Record::Literal(bytes))),
        FILE => Ok(Some(Record::File {
            path: bytes,
            length: read_number(recipe)?,
        })),
        _ => Err(io::Error::other("a damaged recipe")),
    }
}

fn read_number(recipe: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    recipe.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/f"), "content").unwrap();
        let recorder = Recorder::shared(Vec::new());
        let archive = b"head".repeat(50_000);
        let whole = [&archive[..], b"content", b"tail"].concat();
        let mut reader = Recorded {
            reader: &whole[..],
            recorder: recorder.clone(),
        };
        io::copy(
            &mut (&mut reader).take(archive.len() as u64),
            &mut io::sink(),
        )
        .unwrap();
        recorder.borrow_mut().begin_file(b"d/f");
        io::copy(&mut (&mut reader).take(7), &mut io::sink()).unwrap();
        recorder.borrow_mut().end_file();
        io::copy(&mut reader, &mut io::sink()).unwrap();
        recorder.borrow_mut().finish().unwrap();
        let recipe = recorder.borrow().out.clone();
        assert!(!recipe.windows(7).any(|w| w == b"content"));
        assert_eq!(length(&recipe[..]).unwrap(), whole.len() as u64);
        let replay = |digest| {
            let tree = rustix::fs::open(dir.path(), OFlags::RDONLY, Mode::empty()).unwrap();
            let mut bytes = Vec::new();
            Replay::new(&recipe[..], tree, digest)
                .read_to_end(&mut bytes)
                .map(|_| bytes)
                .map_err(|e| e.to_string())
        };
        assert_eq!(replay(Digest::of(&whole)), Ok(whole.clone()));
        std::fs::write(dir.path().join("d/f"), "changed").unwrap();
        assert!(
            replay(Digest::of(&whole))
                .unwrap_err()
                .starts_with("the layer has changed")
        );
        std::fs::write(dir.path().join("d/f"), "longer than before").unwrap();
        assert_eq!(
            replay(Digest::of(&whole)).unwrap_err(),
            "d/f has 18 bytes, 7 when it was unpacked"
        );
    }
}
