//! Writing a log file, rotating it, and compressing what was rotated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use flate2::Compression;
use flate2::write::GzEncoder;

/// When a log file is put aside and how many are kept (`max-size` and `max-file` of the driver).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// Bytes after which a new file is begun; `None` is never.
    pub max_size: Option<u64>,
    /// Files that are kept, the current one included.
    pub max_files: u32,
}

/// A log file that is being written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    rotation: Rotation,
    compress: bool,
    file: File,
    size: u64,
    failing: bool,
    /// Ends with the compression of the last rotated file.
    compressing: Option<JoinHandle<()>>,
}

impl Writer {
    /// Opens `path` for appending.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, rotation: Rotation, compress: bool) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let file = append_to(path)?;
        let size = drop_torn_entry(&File::open(path)?, &file)?;
        let _ = fs::remove_file(unfinished(&compressed(path, 1)));
        Ok(Self {
            path: path.to_owned(),
            rotation,
            compress,
            file,
            size,
            failing: false,
            compressing: None,
        })
    }

    /// Appends whole lines. What cannot be written (disk full) is lost, which is reported once per spell: a container must
    /// not stop because of its log.
    pub fn write(&mut self, batch: &[u8]) {
        let result = self.try_write(batch);
        match &result {
            Err(error) if !self.failing => {
                tracing::error!("write log {}: {error}", self.path.display())
            }
            _ => {}
        }
        self.failing = result.is_err();
    }

    /// Waits for the compression of a rotated file.
    pub fn settle(&mut self) {
        if let Some(compressing) = self.compressing.take() {
            // It has reported its failure.
            let _ = compressing.join();
        }
    }

    fn try_write(&mut self, batch: &[u8]) -> io::Result<()> {
        if self
            .rotation
            .max_size
            .is_some_and(|limit| self.size >= limit)
        {
            self.rotate()?;
        }
        self.file.write_all(batch)?;
        self.size += batch.len() as u64;
        Ok(())
    }

    /// `x.log` becomes `x.log.1`, `x.log.1` becomes `x.log.2`, and so on.
    fn rotate(&mut self) -> io::Result<()> {
        if self.rotation.max_files <= 1 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        self.settle();
        let last = self.rotation.max_files - 1;
        for number in (1..=last).rev() {
            let (plain, packed) = (rotated(&self.path, number), compressed(&self.path, number));
            if number == last {
                remove(&plain)?;
                remove(&packed)?;
            } else {
                rename(&plain, &rotated(&self.path, number + 1))?;
                rename(&packed, &compressed(&self.path, number + 1))?;
            }
        }
        let newest = rotated(&self.path, 1);
        fs::rename(&self.path, &newest)?;
        self.file = append_to(&self.path)?;
        self.size = 0;
        if self.compress {
            let target = compressed(&self.path, 1);
            // A container's output does not wait for it.
            let work = move || {
                if let Err(error) = pack(&newest, &target) {
                    tracing::error!("compress log {}: {error}", newest.display());
                }
            };
            let thread = std::thread::Builder::new().name("compress-log".into());
            self.compressing = Some(thread.spawn(work)?);
        }
        Ok(())
    }
}

/// An engine that was killed may have left half an entry at the end, to which the next one would be added. Gives the
/// bytes that stay. `file` is the same file, to be written.
fn drop_torn_entry(reading: &File, file: &File) -> io::Result<u64> {
    let size = reading.metadata()?.len();
    let mut end = size;
    let mut block = vec![0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        // Not more than a block.
        let part = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        reading.read_exact_at(part, start)?;
        if let Some(last) = part.iter().rposition(|byte| *byte == b'\n') {
            end = start + last as u64 + 1;
            break;
        }
        end = start;
    }
    if end < size {
        file.set_len(end)?;
    }
    Ok(end)
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Replaces `from` by the compressed `to`; at every moment one of them is whole.
fn pack(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = unfinished(to);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(&temporary)?;
    let mut encoder = GzEncoder::new(file, Compression::default());
    io::copy(&mut File::open(from)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(&temporary, to)?;
    fs::remove_file(from)
}

/// The name of a file that is being compressed.
fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The name of the `number`th rotated file, compressed.
pub fn compressed(path: &Path, number: u32) -> PathBuf {
    let mut name = rotated(path, number).into_os_string();
    name.push(".gz");
    name.into()
}

/// The name of the `number`th rotated file.
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(max_files: u32) -> Rotation {
        Rotation {
            max_size: Some(1),
            max_files,
        }
    }

    #[test]
    fn old_files_are_numbered_and_the_oldest_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x.log");
        let mut writer = Writer::open(&path, rotation(3), false).unwrap();
        for text in ["one", "two", "three", "four"] {
            writer.write(text.as_bytes());
        }
        for (file, text) in [
            (path.clone(), "four"),
            (rotated(&path, 1), "three"),
            (rotated(&path, 2), "two"),
        ] {
            assert_eq!(fs::read_to_string(file).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path().join("sub")).unwrap().count(), 3);
    }

    #[test]
    fn half_an_entry_of_a_killed_engine_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let long = "y".repeat(200_000);
        for (before, after) in [
            ("", "next\n"),
            ("one\n", "one\nnext\n"),
            ("one\ntw", "one\nnext\n"),
            ("torn", "next\n"),
            (&format!("one\n{long}"), "one\nnext\n"),
        ] {
            let unlimited = Rotation {
                max_size: None,
                max_files: 1,
            };
            fs::write(&path, before).unwrap();
            Writer::open(&path, unlimited, false)
                .unwrap()
                .write(b"next\n");
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn rotated_files_are_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut writer = Writer::open(&path, rotation(3), true).unwrap();
        for text in ["one", "two", "three", "four"] {
            writer.write(text.as_bytes());
        }
        writer.compressing.take().unwrap().join().unwrap();
        for (number, text) in [(1, "three"), (2, "two")] {
            let file = File::open(compressed(&path, number)).unwrap();
            let content = io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap();
            assert_eq!(content, text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
