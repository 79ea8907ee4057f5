//! Moving bytes between a process's pipes (or its terminal) and log, clients and input queue.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::logs::{LineSplitter, Log};
use crate::streams::{Input, Stream, Streams};

/// Most bytes that are read at once.
pub const CHUNK: usize = 32 * 1024;
/// How long a client may keep a pump that is to stop from doing so.
const PATIENCE: Duration = Duration::from_secs(1);

/// The reading end of a process's output: a pipe, or a pseudo terminal's master.
///
/// # Errors
/// When the descriptor cannot be polled.
pub fn reader(fd: OwnedFd) -> io::Result<pipe::Receiver> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    // Unchecked, because a terminal is no pipe; it is polled and read all the same.
    pipe::Receiver::from_owned_fd_unchecked(fd)
}

/// The writing end of a process's input: a pipe, or a pseudo terminal's master.
///
/// # Errors
/// When the descriptor cannot be polled.
pub fn writer(fd: OwnedFd) -> io::Result<pipe::Sender> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    pipe::Sender::from_owned_fd_unchecked(fd)
}

/// What a pump that was stopped gives back.
#[derive(Debug)]
pub enum Left {
    /// A reading end, and the beginning of a line that was read.
    Output(Stream, OwnedFd, Vec<u8>),
    /// A writing end, what was not written yet, and whether it is to be closed after that.
    Input(OwnedFd, Vec<u8>, bool),
}

/// Stops the pumps of one process, between two reads.
#[derive(Debug)]
pub struct Brake {
    stop: watch::Sender<bool>,
    left: Mutex<Option<mpsc::UnboundedReceiver<Left>>>,
}

/// A pump's end of the [`Brake`].
#[derive(Clone, Debug)]
pub struct Halt {
    stop: watch::Receiver<bool>,
    left: mpsc::UnboundedSender<Left>,
}

impl Brake {
    /// A brake for pumps that get clones of the second value.
    pub fn new() -> (Self, Halt) {
        let (stop, stopped) = watch::channel(false);
        let (sender, left) = mpsc::unbounded_channel();
        (
            Self {
                stop,
                left: Mutex::new(Some(left)),
            },
            Halt {
                stop: stopped,
                left: sender,
            },
        )
    }

    /// Stops the pumps: ends when all have, and gives what those that had not come to their end were at.
    pub fn pull(&self) -> impl Future<Output = Vec<Left>> + Send + use<> {
        // No pump is left to be told: fine.
        let _ = self.stop.send(true);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = left.take();
        async move {
            let mut all = Vec::new();
            if let Some(mut receiver) = receiver {
                while let Some(one) = receiver.recv().await {
                    all.push(one);
                }
            }
            all
        }
    }
}

impl Halt {
    /// Ends when the pump is to stop.
    async fn wanted(&mut self) {
        if self.stop.wait_for(|stop| *stop).await.is_err() {
            // The brake has gone: nobody will ever want it.
            std::future::pending().await
        }
    }
}

/// Copies one output stream to the log and the attached clients until its end, or until it is stopped. `line` is the
/// beginning of a line that a predecessor has read.
pub async fn output(
    source: pipe::Receiver,
    stream: Stream,
    streams: Arc<Streams>,
    log: Option<Arc<Log>>,
    line: Vec<u8>,
    mut halt: Halt,
) {
    let mut lines = LineSplitter::new(line);
    let mut buffer = BytesMut::new();
    loop {
        // The buffer is made only when there is something to read: idle containers hold none.
        let read = tokio::select! {
            biased;
            () = halt.wanted() => {
                let rest = lines.finish().unwrap_or_default();
                if let Ok(fd) = source.into_nonblocking_fd() {
                    // Whoever has stopped this pump waits for it.
                    let _ = halt.left.send(Left::Output(stream, fd, rest));
                }
                return;
            }
            read = read(&source, &mut buffer) => read,
        };
        match read {
            // A terminal whose last user has closed it gives EIO.
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let chunk = buffer.split().freeze();
        if let Some(log) = &log {
            log.append(stream, lines.push(&chunk)).await;
        }
        tokio::select! {
            biased;
            () = streams.publish(stream, &chunk) => {}
            // The log has it.
            () = async { halt.wanted().await; sleep(PATIENCE).await } => {}
        }
    }
    if let (Some(log), Some(rest)) = (log, lines.finish()) {
        log.append(stream, vec![rest]).await;
    }
}

async fn read(source: &pipe::Receiver, buffer: &mut BytesMut) -> io::Result<usize> {
    loop {
        source.readable().await?;
        buffer.reserve(CHUNK);
        match source.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *buffer = BytesMut::new(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Copies the clients' input to the process until one of them closes it, the process no longer reads, or this is stopped.
/// `waiting` is what a predecessor could not write; `closes` says that the end follows.
///
/// A terminal is not closed with a client's input: the next client may type on.
pub async fn input(
    sink: pipe::Sender,
    mut queue: mpsc::Receiver<Input>,
    terminal: bool,
    (waiting, mut closes): (Vec<u8>, bool),
    mut halt: Halt,
) {
    let mut bytes = Bytes::from(waiting);
    let stopped = loop {
        if bytes.is_empty() {
            if closes {
                break false;
            }
            let item = tokio::select! {
                biased;
                () = halt.wanted() => break true,
                item = queue.recv() => item,
            };
            match item {
                Some(Input::Data(data)) => bytes = data,
                Some(Input::Close) if terminal => {}
                Some(Input::Close) | None => break false,
            }
            continue;
        }
        let ready = tokio::select! {
            biased;
            () = halt.wanted() => break true,
            ready = sink.writable() => ready,
        };
        match ready.and_then(|()| sink.try_write(&bytes)) {
            Ok(count) => bytes.advance(count),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => break false,
        }
    };
    if !stopped {
        return;
    }
    queue.close();
    let mut rest = bytes.to_vec();
    while let Ok(item) = queue.try_recv() {
        match item {
            Input::Data(data) if !closes => rest.extend_from_slice(&data),
            Input::Close if !terminal => closes = true,
            Input::Data(_) | Input::Close => {}
        }
    }
    if let Ok(fd) = sink.into_nonblocking_fd() {
        let _ = halt.left.send(Left::Input(fd, rest, closes));
    }
}
