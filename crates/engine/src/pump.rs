//! Moving bytes between a process's pipes (or its terminal) and log, clients and input queue.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::logs::{LineSplitter, Log};
use crate::streams::{Input, Stream, Streams};

/// Most bytes that are read at once.
pub const CHUNK: usize = 32 * 1024;

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

/// Copies one output stream to the log and the attached clients until its end.
pub async fn output(
    source: pipe::Receiver,
    stream: Stream,
    streams: Arc<Streams>,
    log: Option<Arc<Log>>,
) {
    let mut lines = LineSplitter::default();
    let mut buffer = BytesMut::new();
    loop {
        // The buffer is made only when there is something to read: idle containers hold none.
        match read(&source, &mut buffer).await {
            // A terminal whose last user has closed it gives EIO.
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let chunk = buffer.split().freeze();
        if let Some(log) = &log {
            log.append(stream, lines.push(&chunk)).await;
        }
        streams.publish(stream, &chunk).await;
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

/// Copies the clients' input to the process until one of them closes it or the process no longer reads.
///
/// A terminal is not closed with a client's input: the next client may type on.
pub async fn input(mut sink: pipe::Sender, mut queue: mpsc::Receiver<Input>, terminal: bool) {
    while let Some(item) = queue.recv().await {
        match item {
            Input::Data(bytes) => {
                if write(&mut sink, &bytes).await.is_err() {
                    return;
                }
            }
            Input::Close if terminal => {}
            Input::Close => return,
        }
    }
}

async fn write(sink: &mut pipe::Sender, bytes: &Bytes) -> io::Result<()> {
    sink.write_all(bytes).await
}
