//! A client's connection.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// Most bytes of a request that a successor can be given to read again.
const REPLAYED: usize = 64 * 1024;

/// A connection of which something may have been read already.
#[derive(Debug)]
pub struct Connection {
    /// What was read and comes first.
    prefix: Bytes,
    stream: UnixStream,
    record: Arc<Record>,
}

/// What is known of a connection beside its reading and writing: whether it can be handed to a successor as if nothing had
/// been read of it since the last answer.
#[derive(Debug, Default)]
pub struct Record(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    /// What was read of a request that nobody has begun to answer.
    read: Vec<u8>,
    /// There was too much of that.
    overflow: bool,
    /// A request is being answered.
    busy: bool,
    /// The client does not take what is written.
    blocked: bool,
}

/// A request that is being answered: ends with the value.
#[derive(Debug)]
pub struct Busy(Arc<Record>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.recorded().busy = false;
    }
}

impl Record {
    /// Notes what was read.
    pub fn read(&self, bytes: &[u8]) {
        let mut recorded = self.recorded();
        if recorded.busy {
            return;
        }
        recorded.overflow |= recorded.read.len() + bytes.len() > REPLAYED;
        if !recorded.overflow {
            recorded.read.extend_from_slice(bytes);
        }
    }

    /// Notes that the request that was read is being answered now.
    pub fn begin(self: &Arc<Self>) -> Busy {
        *self.recorded() = Recorded {
            busy: true,
            ..Recorded::default()
        };
        Busy(Arc::clone(self))
    }

    /// What a successor has to read first; `None` when the connection cannot be handed over.
    pub fn replay(&self) -> Option<Vec<u8>> {
        let mut recorded = self.recorded();
        let fits = !recorded.busy && !recorded.overflow && !recorded.blocked;
        fits.then(|| std::mem::take(&mut recorded.read))
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// A connection whose first bytes were read.
    pub fn new(prefix: Bytes, stream: UnixStream) -> Self {
        Self {
            prefix,
            stream,
            record: Arc::default(),
        }
    }

    /// What is noted about it.
    pub fn record(&self) -> Arc<Record> {
        Arc::clone(&self.record)
    }

    /// A second descriptor of it.
    ///
    /// # Errors
    /// When there is no room for one.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.stream.as_fd().try_clone_to_owned()
    }

    /// The same with `prefix` put before what is still to be read.
    pub fn with_prefix(mut self, prefix: Bytes) -> Self {
        if self.prefix.is_empty() {
            self.prefix = prefix;
        } else if !prefix.is_empty() {
            let mut both = BytesMut::from(prefix);
            both.extend_from_slice(&self.prefix);
            self.prefix = both.freeze();
        }
        self
    }

    /// Ends when the client has gone. One that has only closed its side for writing still listens, so the end of what it
    /// sends does not tell; the kernel does (`EPOLLHUP`).
    pub fn presence(&self) -> impl Future<Output = ()> + Send + use<> {
        // A second descriptor, because the connection itself is taken apart into its two directions.
        let watched = self
            .stream
            .as_fd()
            .try_clone_to_owned()
            .and_then(|descriptor| UnixStream::from_std(descriptor.into()));
        async move {
            let Ok(watched) = watched else {
                return std::future::pending().await;
            };
            while let Ok(ready) = watched.ready(Interest::WRITABLE).await {
                if ready.is_write_closed() {
                    return;
                }
                // Makes the next call wait for a change.
                let _ = watched.try_io(Interest::WRITABLE, || {
                    io::Result::<()>::Err(io::ErrorKind::WouldBlock.into())
                });
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        if self.prefix.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_read(cx, out);
            self.record.read(&out.filled()[before..]);
            return polled;
        }
        let count = self.prefix.len().min(out.remaining());
        out.put_slice(&self.prefix.split_to(count));
        self.record.read(&out.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, data);
        self.record.recorded().blocked = polled.is_pending();
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.record.recorded().blocked = polled.is_pending();
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_first() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b" world").await.unwrap();
        drop(client);
        let mut connection = Connection::new(Bytes::from_static(b"lo"), server)
            .with_prefix(Bytes::from_static(b"hel"));
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello world");
    }

    #[test]
    fn what_nobody_has_begun_to_answer_can_be_read_again() {
        let record = Arc::new(Record::default());
        assert_eq!(record.replay(), Some(Vec::new()));
        record.read(b"GET /");
        record.read(b"_ping");
        assert_eq!(record.replay(), Some(b"GET /_ping".to_vec()));
        record.read(b"GET");
        let busy = record.begin();
        record.read(b"body");
        assert_eq!(record.replay(), None);
        drop(busy);
        assert_eq!(record.replay(), Some(Vec::new()));
        record.read(&[0; REPLAYED]);
        record.read(b"x");
        assert_eq!(record.replay(), None);
    }

    #[tokio::test]
    async fn a_client_that_only_listens_is_present() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let connection = Connection::new(Bytes::new(), server);
        let presence = tokio::spawn(connection.presence());
        client.shutdown().await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!presence.is_finished());
        drop(client);
        presence.await.unwrap();
    }
}
