//! Writing a log file, and rotating it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::entry::encode;
use crate::streams::Stream;
use crate::time;

/// When a log file is put aside and how many are kept (`max-size` and `max-file` of the driver).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// Bytes after which a new file is begun; `None` is never.
    pub max_size: Option<u64>,
    /// Files that are kept, the current one included.
    pub max_files: u32,
}

/// An open log. Cheap to share; entries appear in the order of the calls.
#[derive(Debug)]
pub struct Log {
    writer: Arc<Mutex<Writer>>,
    /// Counts appended batches and the final close, for readers that follow.
    changed: watch::Sender<LogState>,
    attributes: String,
}

/// What followers need to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogState {
    /// Grows with each batch.
    pub batches: u64,
    /// Nothing will be appended any more.
    pub closed: bool,
}

impl Log {
    /// Opens `path` for appending. `attributes` are added to every entry.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(
        path: &Path,
        rotation: Rotation,
        attributes: &std::collections::BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let attributes = if attributes.is_empty() {
            String::new()
        } else {
            serde_json::to_string(attributes)?
        };
        let writer = Arc::new(Mutex::new(Writer::open(path, rotation)?));
        Ok(Self {
            writer,
            changed: watch::channel(LogState::default()).0,
            attributes,
        })
    }

    /// Appends entries, all with the present time. An entry that cannot be written (disk full) is lost, and the failure
    /// is reported once per spell: a container must not stop because of its log.
    pub async fn append(&self, stream: Stream, entries: Vec<Vec<u8>>) {
        if entries.is_empty() {
            return;
        }
        let now = time::now();
        let mut batch = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 96).sum());
        for entry in &entries {
            encode(&mut batch, stream, &now, entry, &self.attributes);
        }
        let writer = Arc::clone(&self.writer);
        // The disk may be slow; the workers of the runtime must not wait for it.
        let written = tokio::task::spawn_blocking(move || {
            writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(&batch);
        });
        if written.await.is_err() {
            tracing::error!("a log writer panicked");
        }
        self.changed.send_modify(|state| state.batches += 1);
    }

    /// Tells followers that the container has ended.
    pub fn close(&self) {
        self.changed.send_modify(|state| state.closed = true);
    }

    /// For following: changes with each batch.
    pub fn watch(&self) -> watch::Receiver<LogState> {
        self.changed.subscribe()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    failing: bool,
}

impl Writer {
    fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let file = append_to(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            rotation,
            file,
            size,
            failing: false,
        })
    }

    fn write(&mut self, batch: &[u8]) {
        let result = self.try_write(batch);
        match &result {
            Err(error) if !self.failing => {
                tracing::error!("write log {}: {error}", self.path.display())
            }
            _ => {}
        }
        self.failing = result.is_err();
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
        for number in (1..self.rotation.max_files - 1).rev() {
            match fs::rename(rotated(&self.path, number), rotated(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, rotated(&self.path, 1))?;
        self.file = append_to(&self.path)?;
        self.size = 0;
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

/// The name of the `number`th rotated file.
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn old_files_are_numbered_and_the_oldest_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let log = Log::open(
            &path,
            Rotation {
                max_size: Some(1),
                max_files: 3,
            },
            &Default::default(),
        )
        .unwrap();
        for text in ["one", "two", "three", "four"] {
            log.append(Stream::Stdout, vec![format!("{text}\n").into_bytes()])
                .await;
        }
        let content = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        for (file, text) in [
            (path.clone(), "four"),
            (rotated(&path, 1), "three"),
            (rotated(&path, 2), "two"),
        ] {
            assert!(content(file.clone()).contains(text), "{}", file.display());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
