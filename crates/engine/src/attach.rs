//! Attaching clients to a container's streams, and reading its log.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::log_options;
use crate::logs::{LogLine, LogQuery, LogReader, Tail};
use crate::record::Status;
use crate::streams::{Input, Output};
use crate::{console, task};

/// What a client wants to be attached to.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachRequest {
    /// Replay the log first.
    pub logs: bool,
    /// Stay for what follows.
    pub stream: bool,
    /// Send input.
    pub stdin: bool,
    /// Get standard output.
    pub stdout: bool,
    /// Get standard error.
    pub stderr: bool,
}

/// A client's end of the streams.
#[derive(Debug)]
pub struct Attachment {
    /// The log so far.
    pub replay: Option<LogStream>,
    /// Output, until the run ends; `None` when only the replay was wanted.
    pub output: Option<Output>,
    /// Where input goes.
    pub input: Option<mpsc::Sender<Input>>,
    /// Whether the streams are a terminal: then output is not framed.
    pub tty: bool,
    /// The process's input ends with this client's.
    pub stdin_once: bool,
}

/// Entries of a log, in batches.
pub type LogStream = mpsc::Receiver<Vec<LogLine>>;

impl Engine {
    /// Attaches to a container. One that does not run yet may be attached to: output comes once it does.
    ///
    /// # Errors
    /// Docker's texts for frozen and restarting containers.
    pub fn attach(self: &Arc<Self>, reference: &str, request: AttachRequest) -> Result<Attachment> {
        let container = self.find(reference)?;
        let attachment = {
            let data = container.data();
            match data.state.status {
                Status::Paused => {
                    return Err(Error::Conflict(format!(
                        "container {reference} is paused, unpause the container before attach"
                    )));
                }
                Status::Restarting => {
                    return Err(Error::Conflict(format!(
                        "container {reference} is restarting, wait until the container is running"
                    )));
                }
                _ => {}
            }
            let config = &data.record.config;
            let open_stdin = config.open_stdin.unwrap_or(false);
            Attachment {
                replay: None,
                output: request
                    .stream
                    .then(|| data.streams.subscribe(request.stdout, request.stderr))
                    .flatten(),
                input: (request.stream && request.stdin && open_stdin)
                    .then(|| data.streams.input()),
                tty: data.record.tty(),
                stdin_once: config.stdin_once.unwrap_or(false),
            }
        };
        let replay = if request.logs {
            let query = LogQuery {
                since: None,
                until: None,
                tail: Tail::All,
                stdout: request.stdout,
                stderr: request.stderr,
            };
            Some(self.logs(reference, query, false)?.1)
        } else {
            None
        };
        self.container_event(&container, "attach", &[]);
        Ok(Attachment {
            replay,
            ..attachment
        })
    }

    /// Publishes that a client has left by its detach keys.
    pub fn detached(&self, reference: &str) {
        if let Ok(container) = self.find(reference) {
            self.container_event(&container, "detach", &[]);
        }
    }

    /// Reads a container's log, and with `follow` what is added until the run ends. Also tells whether the container has
    /// a terminal.
    ///
    /// # Errors
    /// When the container is not logged to a file.
    pub fn logs(
        self: &Arc<Self>,
        reference: &str,
        query: LogQuery,
        follow: bool,
    ) -> Result<(bool, LogStream)> {
        let container = self.find(reference)?;
        let (file, tty, log) = {
            let data = container.data();
            let options = log_options::parse(
                data.record.host_config.log_config.as_ref(),
                self.options.log_rotation,
            )?;
            let files = options.files.ok_or_else(|| {
                Error::Unsupported("configured logging driver does not support reading".into())
            })?;
            (
                files.file,
                data.record.tty(),
                data.log
                    .clone()
                    .filter(|_| follow && data.state.status.is_active()),
            )
        };
        let path = container.log_file(file);
        let (sender, receiver) = mpsc::channel(4);
        let work = async move {
            let mut watch = log.as_ref().map(|log| log.watch());
            drop(log);
            let opened = blocking(move || {
                LogReader::open(&path, query).doing(|| format!("read {}", path.display()))
            });
            let mut reader = match opened.await.flatten() {
                Ok(reader) => reader,
                Err(error) => return tracing::error!("{error}"),
            };
            loop {
                // Looked at before reading, so that what is appended between the two wakes us.
                let closed = watch
                    .as_mut()
                    .is_none_or(|watch| watch.borrow_and_update().closed);
                let read = move || {
                    let batch = reader.next_batch();
                    (reader, batch)
                };
                let Ok((returned, Ok(batch))) = blocking(read).await else {
                    return tracing::error!("reading a log failed");
                };
                reader = returned;
                if !batch.is_empty() {
                    if sender.send(batch).await.is_err() {
                        return;
                    }
                    continue;
                }
                let Some(watch) = watch.as_mut().filter(|_| !closed && !reader.is_done()) else {
                    return;
                };
                tokio::select! {
                    changed = watch.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        };
        task::spawn(format!("reading the log of {reference}"), work);
        Ok((tty, receiver))
    }

    /// Sets the size of a container's terminal; before its start the size is remembered.
    ///
    /// # Errors
    /// When it has no terminal.
    pub fn resize(&self, reference: &str, rows: u16, columns: u16) -> Result<()> {
        let container = self.find(reference)?;
        let mut data = container.data();
        match &data.running {
            None if data.state.status == Status::Created || data.record.tty() => {
                data.terminal_size = Some((rows, columns));
                Ok(())
            }
            None => Err(Error::not_running(container.id())),
            Some(running) => match &running.terminal {
                Some(terminal) => {
                    console::resize(terminal, rows, columns)
                        .doing(|| format!("resize terminal of container {}", container.id()))?;
                    drop(data);
                    let size = [("height", rows.to_string()), ("width", columns.to_string())];
                    self.container_event(&container, "resize", &size);
                    Ok(())
                }
                None => Err(Error::Invalid(format!(
                    "container {} has no terminal",
                    container.id()
                ))),
            },
        }
    }
}
