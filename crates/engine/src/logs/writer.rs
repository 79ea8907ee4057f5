//! Writing a log file, rotating it, and compressing what was rotated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
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
        let size = file.metadata()?.len();
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
    let mut temporary = to.as_os_str().to_owned();
    temporary.push(".new");
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
