//! Reading a log back: the last lines, a span of time, and following what is appended.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::GzDecoder;
use jiff::Timestamp;

use super::entry::LogLine;
use super::writer::{compressed, rotated};

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// How many of the last entries are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tail {
    /// Everything.
    All,
    /// At most so many.
    Last(u64),
}

/// Which entries are wanted.
#[derive(Clone, Copy, Debug)]
pub struct LogQuery {
    /// Only entries of this time or later.
    pub since: Option<Timestamp>,
    /// Only entries of this time or earlier.
    pub until: Option<Timestamp>,
    /// Only the last ones.
    pub tail: Tail,
    /// Entries of standard output.
    pub stdout: bool,
    /// Entries of standard error.
    pub stderr: bool,
}

/// Reads a log file and the rotated ones before it. Blocks on the disk: use it in a blocking thread.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    query: LogQuery,
    /// Files still to be read, the next one last.
    pending: Vec<File>,
    current: Option<File>,
    /// Bytes of an unfinished line.
    rest: Vec<u8>,
    /// An entry after `until` was seen.
    done: bool,
}

impl LogReader {
    /// Opens the log at `path`; one that does not exist yet is empty.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn open(path: &Path, query: LogQuery) -> io::Result<Self> {
        let mut files = open_files(path, query.tail)?;
        let current = files.pop();
        Ok(Self {
            path: path.to_owned(),
            query,
            pending: files,
            current,
            rest: Vec::new(),
            done: false,
        })
    }

    /// The next entries; empty at the present end of the log (more may be appended) unless [`LogReader::is_done`].
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn next_batch(&mut self) -> io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        while lines.is_empty() && !self.done {
            if self.fill()? == 0 && !self.advance()? {
                break;
            }
            self.take_lines(&mut lines);
        }
        Ok(lines)
    }

    /// Nothing further can be wanted.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn fill(&mut self) -> io::Result<usize> {
        let Some(file) = &mut self.current else {
            return Ok(0);
        };
        let start = self.rest.len();
        self.rest.resize(start + BLOCK, 0);
        let count = file.read(&mut self.rest[start..])?;
        self.rest.truncate(start + count);
        Ok(count)
    }

    /// Goes on to the next file, if there is one: an older run's, or the one that rotation has begun.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some(next) = self.pending.pop() {
            self.current = Some(next);
            self.rest.clear();
            return Ok(true);
        }
        let newest = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let inode = newest.metadata()?.ino();
        match &mut self.current {
            Some(file) if file.metadata()?.ino() == inode => {
                // Truncated in place (rotation to a single file): begin again.
                if file.stream_position()? > file.metadata()?.len() {
                    file.seek(SeekFrom::Start(0))?;
                    self.rest.clear();
                    return Ok(true);
                }
                Ok(false)
            }
            current => {
                // The old file may have grown between the last read and its rotation: the caller reads it out first.
                if let Some(old) = current
                    && old.stream_position()? < old.metadata()?.len()
                {
                    return Ok(true);
                }
                *current = Some(newest);
                self.rest.clear();
                Ok(true)
            }
        }
    }

    fn take_lines(&mut self, lines: &mut Vec<LogLine>) {
        let mut start = 0;
        while let Some(length) = self.rest[start..].iter().position(|&byte| byte == b'\n') {
            let line = LogLine::parse(&self.rest[start..start + length]);
            start += length + 1;
            let Some(line) = line else { continue };
            if self.query.until.is_some_and(|until| line.time > until) {
                self.done = true;
                break;
            }
            if self.query.since.is_some_and(|since| line.time < since) {
                continue;
            }
            let wanted = match line.stream {
                crate::streams::Stream::Stdout => self.query.stdout,
                crate::streams::Stream::Stderr => self.query.stderr,
            };
            if wanted {
                lines.push(line);
            }
        }
        self.rest.drain(..start);
        self.rest.shrink_to(BLOCK);
    }
}

/// Opens the file at `path` and the rotated ones before it, newest first, as many as the tail needs, where it begins.
fn open_files(path: &Path, tail: Tail) -> io::Result<Vec<File>> {
    let mut files: Vec<File> = Vec::new();
    let mut wanted = match tail {
        Tail::All => u64::MAX,
        Tail::Last(wanted) => wanted,
    };
    for number in 0.. {
        let Some(mut file) = open_numbered(path, number)? else {
            // The newest may be missing for the moment of a rotation.
            if number == 0 {
                continue;
            }
            break;
        };
        let metadata = file.metadata()?;
        // Rotated between the last look and this one: it is at hand already.
        if let Some(newer) = files.last()
            && newer.metadata()?.ino() == metadata.ino()
        {
            continue;
        }
        if tail != Tail::All {
            let (offset, found) = tail_offset(&file, metadata.len(), wanted)?;
            file.seek(SeekFrom::Start(offset))?;
            wanted -= found;
        }
        files.push(file);
        if wanted == 0 {
            break;
        }
    }
    Ok(files)
}

/// The `number`th file (0 is the one being written), unpacked if need be.
fn open_numbered(path: &Path, number: u32) -> io::Result<Option<File>> {
    let plain = match number {
        0 => path.to_owned(),
        _ => rotated(path, number),
    };
    let found = match File::open(&plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && number > 0 => {
            File::open(compressed(path, number)).and_then(|packed| unpack(&packed, &plain))
        }
        result => result,
    };
    match found {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Unpacks a file beside the log, into one without a name: it may be larger than what fits into memory.
fn unpack(packed: &File, beside: &Path) -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = beside.as_os_str().to_owned();
    name.push(format!(".read-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&name)?;
    std::fs::remove_file(&name)?;
    io::copy(&mut GzDecoder::new(packed), &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// Where the last `wanted` lines of the first `length` bytes begin, and how many there are.
fn tail_offset(file: &File, length: u64, wanted: u64) -> io::Result<(u64, u64)> {
    if wanted == 0 {
        return Ok((length, 0));
    }
    let mut block = vec![0; BLOCK];
    let mut end = length;
    let mut newlines = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        // At most BLOCK, which fits.
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        for (index, &byte) in part.iter().enumerate().rev() {
            if byte != b'\n' {
                continue;
            }
            // The newline before the first wanted line.
            if newlines == wanted {
                return Ok((start + index as u64 + 1, wanted));
            }
            newlines += 1;
        }
        end = start;
    }
    Ok((0, newlines))
}

#[cfg(test)]
mod tests {
    use super::super::{Log, Rotation};
    use super::*;
    use crate::streams::Stream;

    const EVERYTHING: LogQuery = LogQuery {
        since: None,
        until: None,
        tail: Tail::All,
        stdout: true,
        stderr: true,
    };

    fn texts(reader: &mut LogReader) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let batch = reader.next_batch().unwrap();
            if batch.is_empty() {
                return all;
            }
            all.extend(
                batch
                    .into_iter()
                    .map(|line| line.text.trim_end().to_owned()),
            );
        }
    }

    fn open(path: &Path, max_size: u64, max_files: u32, compress: bool) -> Log {
        let rotation = Rotation {
            max_size: Some(max_size),
            max_files,
        };
        let attributes = Default::default();
        Log::new()
            .with_file(path, rotation, compress, &attributes)
            .unwrap()
    }

    async fn write(log: &Log, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let stream = if number % 2 == 0 {
                Stream::Stdout
            } else {
                Stream::Stderr
            };
            log.append(stream, vec![format!("{number}\n").into_bytes()])
                .await;
        }
    }

    #[tokio::test]
    async fn tail_streams_and_times_choose_entries_over_rotated_files() {
        for compress in [false, true] {
            choose(compress).await;
        }
    }

    async fn choose(compress: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let log = open(&path, 200, 5, compress);
        write(&log, 0..9).await;
        drop(log);
        assert!(rotated(&path, 1).exists() || compressed(&path, 1).exists());
        let all: Vec<_> = (0..9).map(|n: u32| n.to_string()).collect();
        let last = |count| LogQuery {
            tail: Tail::Last(count),
            ..EVERYTHING
        };
        let table = [
            (EVERYTHING, all.clone()),
            (last(0), vec![]),
            (last(1), all[8..].to_vec()),
            (last(5), all[4..].to_vec()),
            (last(100), all.clone()),
            (
                LogQuery {
                    stderr: false,
                    ..EVERYTHING
                },
                vec!["0".into(), "2".into(), "4".into(), "6".into(), "8".into()],
            ),
            (
                LogQuery {
                    until: Some(Timestamp::UNIX_EPOCH),
                    ..EVERYTHING
                },
                vec![],
            ),
            (
                LogQuery {
                    since: Some(Timestamp::MAX),
                    ..EVERYTHING
                },
                vec![],
            ),
        ];
        for (query, expected) in table {
            assert_eq!(
                texts(&mut LogReader::open(&path, query).unwrap()),
                expected,
                "{query:?}"
            );
        }
    }

    #[tokio::test]
    async fn following_continues_over_rotation_and_truncation() {
        for max_files in [1, 4] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.log");
            let mut reader = LogReader::open(&path, EVERYTHING).unwrap();
            assert_eq!(texts(&mut reader), [""; 0]);
            let log = open(&path, 100, max_files, false);
            for number in 0..12 {
                write(&log, number..number + 1).await;
                assert_eq!(
                    texts(&mut reader),
                    [number.to_string()],
                    "of {max_files} files"
                );
            }
        }
    }
}
