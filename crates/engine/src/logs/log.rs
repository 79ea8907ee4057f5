//! The log of a run: where its output goes, and who follows it.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::entry::encode;
use super::syslog::Syslog;
use super::writer::{Rotation, Writer};
use crate::streams::Stream;
use crate::time;

/// An open log. Cheap to share; entries appear in the order of the calls.
#[derive(Debug)]
pub struct Log {
    sinks: Arc<Sinks>,
    /// Bytes that may wait, and what does; without it who appends waits.
    buffer: Option<(usize, Arc<Queue>)>,
    /// Counts appended batches and the final close, for readers that follow.
    changed: watch::Sender<LogState>,
}

#[derive(Debug, Default)]
struct Sinks {
    file: Option<Mutex<Writer>>,
    syslog: Option<Syslog>,
    /// A JSON object, or empty.
    attributes: String,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Tells when no thread writes any more.
    idle: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// A thread writes them.
    busy: bool,
}

#[derive(Debug)]
struct Batch {
    stream: Stream,
    time: String,
    entries: Vec<Vec<u8>>,
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
    /// A log without any place yet.
    pub fn new() -> Self {
        Self {
            sinks: Arc::default(),
            buffer: None,
            changed: watch::channel(LogState::default()).0,
        }
    }

    /// Opens the file `path` for appending, too. `attributes` are added to every entry.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn with_file(
        mut self,
        path: &Path,
        rotation: Rotation,
        compress: bool,
        attributes: &BTreeMap<String, String>,
    ) -> std::io::Result<Self> {
        let file = Some(Mutex::new(Writer::open(path, rotation, compress)?));
        let attributes = match attributes.is_empty() {
            true => String::new(),
            false => serde_json::to_string(attributes)?,
        };
        let sinks = Arc::into_inner(std::mem::take(&mut self.sinks)).unwrap_or_default();
        self.sinks = Arc::new(Sinks {
            file,
            attributes,
            ..sinks
        });
        Ok(self)
    }

    /// Sends entries to a syslog service, too.
    pub fn with_syslog(mut self, syslog: Syslog) -> Self {
        let sinks = Arc::into_inner(std::mem::take(&mut self.sinks)).unwrap_or_default();
        self.sinks = Arc::new(Sinks {
            syslog: Some(syslog),
            ..sinks
        });
        self
    }

    /// Drops entries instead of waiting when more than `bytes` wait already (`mode=non-blocking`).
    pub fn with_buffer(mut self, bytes: usize) -> Self {
        self.buffer = Some((bytes, Arc::default()));
        self
    }

    /// Appends entries, all with the present time. An entry that cannot be written is lost: a container must not stop
    /// because of its log.
    pub async fn append(&self, stream: Stream, entries: Vec<Vec<u8>>) {
        if entries.is_empty() {
            return;
        }
        let batch = Batch {
            stream,
            time: time::now(),
            entries,
        };
        let sinks = Arc::clone(&self.sinks);
        let Some((limit, queue)) = &self.buffer else {
            // The disk may be slow; the workers of the runtime must not wait for it.
            let written = tokio::task::spawn_blocking(move || sinks.write(&batch));
            if written.await.is_err() {
                tracing::error!("a log writer panicked");
            }
            self.changed.send_modify(|state| state.batches += 1);
            return;
        };
        let start = {
            let mut waiting = lock(&queue.waiting);
            let bytes = batch.entries.iter().map(Vec::len).sum::<usize>();
            if waiting.bytes + bytes > *limit {
                return;
            }
            waiting.bytes += bytes;
            waiting.batches.push_back(batch);
            !std::mem::replace(&mut waiting.busy, true)
        };
        if start {
            let (queue, changed) = (Arc::clone(queue), self.changed.clone());
            tokio::task::spawn_blocking(move || sinks.write_all(&queue, &changed));
        }
    }

    /// Ends when nothing waits to be written and no rotated file to be compressed. Nothing may be appended meanwhile.
    pub async fn settle(&self) {
        if let Some((_, queue)) = &self.buffer {
            // Before the look: it counts from here.
            let idle = queue.idle.notified();
            let busy = lock(&queue.waiting).busy;
            if busy {
                idle.await;
            }
        }
        let sinks = Arc::clone(&self.sinks);
        let compressed = tokio::task::spawn_blocking(move || {
            if let Some(file) = &sinks.file {
                lock(file).settle();
            }
        });
        // It has reported its failure.
        let _ = compressed.await;
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

impl Sinks {
    fn write(&self, batch: &Batch) {
        let Batch {
            stream,
            time,
            entries,
        } = batch;
        if let Some(file) = &self.file {
            let mut text = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 96).sum());
            for entry in entries {
                encode(&mut text, *stream, time, entry, &self.attributes);
            }
            lock(file).write(&text);
        }
        if let Some(syslog) = &self.syslog {
            syslog.send(*stream, entries);
        }
    }

    fn write_all(&self, queue: &Queue, changed: &watch::Sender<LogState>) {
        loop {
            let batch = {
                let mut waiting = lock(&queue.waiting);
                let Some(batch) = waiting.batches.pop_front() else {
                    waiting.busy = false;
                    queue.idle.notify_waiters();
                    return;
                };
                waiting.bytes -= batch.entries.iter().map(Vec::len).sum::<usize>();
                batch
            };
            self.write(&batch);
            changed.send_modify(|state| state.batches += 1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_log_has_settled_when_everything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let rotation = Rotation {
            max_size: None,
            max_files: 1,
        };
        let log = Log::new()
            .with_file(&path, rotation, false, &BTreeMap::new())
            .unwrap()
            .with_buffer(100);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for text in ["one\n", "two\n"] {
            let guard = lock(log.sinks.file.as_ref().unwrap());
            runtime.block_on(log.append(Stream::Stdout, vec![text.as_bytes().to_vec()]));
            let mut settled = Box::pin(log.settle());
            let first = runtime.block_on(async { (&mut settled).now_or_never() });
            assert_eq!(first, None);
            drop(guard);
            runtime.block_on(settled);
            let written = std::fs::read_to_string(&path).unwrap();
            assert!(written.contains(text.trim()), "{written}");
        }
        // Nothing waits.
        runtime.block_on(log.settle());
    }

    #[test]
    fn a_full_buffer_drops_entries_instead_of_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let rotation = Rotation {
            max_size: None,
            max_files: 1,
        };
        let log = Log::new()
            .with_file(&path, rotation, false, &BTreeMap::new())
            .unwrap()
            .with_buffer(8);
        let mut changed = log.watch();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        // The disk does not take anything.
        let guard = lock(log.sinks.file.as_ref().unwrap());
        for text in ["too long\n", "one\n", "two\n"] {
            runtime.block_on(log.append(Stream::Stdout, vec![text.as_bytes().to_vec()]));
        }
        drop(guard);
        let written = changed.wait_for(|state| state.batches == 2);
        runtime.block_on(written).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("one") && text.contains("two") && !text.contains("long"),
            "{text}"
        );
    }
}
