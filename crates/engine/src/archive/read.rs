//! Making an archive of a tree through descriptors, so that links made meanwhile are never followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytes::{Buf, Bytes};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

/// Bytes per chunk of the archive.
const CHUNK: usize = 64 * 1024;

/// Bytes of a name in a header; longer ones go before it, in an entry of this name (GNU tar's way).
const FIELD: usize = 100;
const LONG: &[u8] = b"././@LongLink";

/// Writes into a channel; the reader's going ends the writing.
struct ChunkWriter {
    sender: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.sender
            .blocking_send(chunk)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Reads chunks of a channel.
pub struct ChunkReader {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl ChunkReader {
    /// The chunks of `receiver`, one after the other.
    pub fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
        }
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Sends the archive of `name` in `parent` (`None`: of `parent` itself) under the name `prefix`.
///
/// # Errors
/// When a file cannot be read, or the receiver has gone.
pub fn archive(
    parent: OwnedFd,
    name: Option<&OsStr>,
    prefix: &Path,
    sender: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let mut builder = Builder::new(ChunkWriter {
        sender,
        buffer: Vec::new(),
    });
    match name {
        Some(name) => add(&mut builder, parent.as_fd(), name, prefix)?,
        None => {
            let stat = statat(&parent, "", AtFlags::EMPTY_PATH)?;
            if !prefix.as_os_str().is_empty() {
                append(
                    &mut builder,
                    &stat,
                    prefix,
                    EntryType::Directory,
                    io::empty(),
                    0,
                )?;
            }
            add_children(&mut builder, parent.as_fd(), prefix)?;
        }
    }
    builder.into_inner()?.flush()
}

fn add(
    builder: &mut Builder<ChunkWriter>,
    parent: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
) -> io::Result<()> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let nothing = io::empty;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = openat(parent, name, flags, Mode::empty())?;
            append(builder, &stat, path, EntryType::Directory, nothing(), 0)?;
            add_children(builder, directory.as_fd(), path)
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY
                | OFlags::NOFOLLOW
                | OFlags::NONBLOCK
                | OFlags::NOCTTY
                | OFlags::CLOEXEC;
            let file = File::from(openat(parent, name, flags, Mode::empty())?);
            let size = file.metadata()?.len();
            // A file that shrinks meanwhile is filled up: the header's size is a promise.
            let content = file.take(size).chain(io::repeat(0)).take(size);
            append(builder, &stat, path, EntryType::Regular, content, size)
        }
        FileType::Symlink => {
            let target = readlinkat(parent, name, Vec::new())?;
            let header = header(&stat, EntryType::Symlink, 0);
            put(
                builder,
                header,
                path.as_os_str().as_bytes(),
                target.as_bytes(),
                io::empty(),
            )
        }
        FileType::CharacterDevice => append(builder, &stat, path, EntryType::Char, nothing(), 0),
        FileType::BlockDevice => append(builder, &stat, path, EntryType::Block, nothing(), 0),
        FileType::Fifo => append(builder, &stat, path, EntryType::Fifo, nothing(), 0),
        // Sockets cannot be archived.
        _ => Ok(()),
    }
}

fn add_children(
    builder: &mut Builder<ChunkWriter>,
    directory: BorrowedFd<'_>,
    path: &Path,
) -> io::Result<()> {
    // The descriptor may be a path only.
    let readable = openat(
        directory,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut names: Vec<OsString> = Vec::new();
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    for name in names {
        match add(builder, readable.as_fd(), &name, &path.join(&name)) {
            // It was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

fn append(
    builder: &mut Builder<ChunkWriter>,
    stat: &Stat,
    path: &Path,
    kind: EntryType,
    content: impl Read,
    size: u64,
) -> io::Result<()> {
    let mut header = header(stat, kind, size);
    if matches!(kind, EntryType::Char | EntryType::Block) {
        header.set_device_major(rustix::fs::major(stat.st_rdev))?;
        header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
    }
    // Directories end with a slash, as in archives of other tools.
    let name = if kind == EntryType::Directory {
        path.join("")
    } else {
        path.to_owned()
    };
    put(builder, header, name.as_os_str().as_bytes(), b"", content)
}

/// Writes an entry with its names as they are: clients replace the beginning `./` or `/`, which the tar library would
/// take away.
fn put(
    builder: &mut Builder<ChunkWriter>,
    mut header: Header,
    name: &[u8],
    target: &[u8],
    content: impl Read,
) -> io::Result<()> {
    for (text, kind) in [
        (name, EntryType::GNULongName),
        (target, EntryType::GNULongLink),
    ] {
        if text.len() > FIELD {
            let mut long = Header::new_gnu();
            long.as_old_mut().name[..LONG.len()].copy_from_slice(LONG);
            long.set_entry_type(kind);
            long.set_size(text.len() as u64 + 1);
            long.set_cksum();
            builder.append(&long, Read::chain(text, &b"\0"[..]))?;
        }
    }
    let fields = header.as_old_mut();
    let cut = |text: &[u8]| text.len().min(FIELD);
    fields.name[..cut(name)].copy_from_slice(&name[..cut(name)]);
    fields.linkname[..cut(target)].copy_from_slice(&target[..cut(target)]);
    header.set_cksum();
    builder.append(&header, content)
}

fn header(stat: &Stat, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(dir: &Path, name: Option<&str>, prefix: &str) -> Vec<String> {
        let (sender, mut receiver) = mpsc::channel(100);
        let parent = crate::scoped::root(dir).unwrap();
        archive(parent, name.map(OsStr::new), Path::new(prefix), sender).unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = receiver.blocking_recv() {
            bytes.extend_from_slice(&chunk);
        }
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                let target = entry
                    .link_name_bytes()
                    .map(|target| String::from_utf8_lossy(&target).into_owned());
                target.map_or(name.clone(), |target| format!("{name} -> {target}"))
            })
            .collect()
    }

    #[test]
    fn names_begin_as_clients_expect() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(150);
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), "text").unwrap();
        std::os::unix::fs::symlink(&long, dir.path().join("d/l")).unwrap();
        fs::write(dir.path().join("d").join(&long), "").unwrap();
        let link = format!("l -> {long}");
        assert_eq!(
            names(dir.path(), Some("d"), "d"),
            [
                "d/".to_owned(),
                "d/f".into(),
                format!("d/{link}"),
                format!("d/{long}")
            ]
        );
        assert_eq!(
            names(&dir.path().join("d"), None, "."),
            [
                "./".to_owned(),
                "./f".into(),
                format!("./{link}"),
                format!("./{long}")
            ]
        );
        assert_eq!(names(&dir.path().join("d"), None, "")[0], "f");
        assert_eq!(names(&dir.path().join("d"), None, "/")[..2], ["/", "/f"]);
    }
}
