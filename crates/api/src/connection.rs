//! A client's connection.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// A connection of which something may have been read already.
#[derive(Debug)]
pub struct Connection {
    /// What was read and comes first.
    prefix: Bytes,
    stream: UnixStream,
}

impl Connection {
    /// A connection whose first bytes were read.
    pub fn new(prefix: Bytes, stream: UnixStream) -> Self {
        Self { prefix, stream }
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
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, out);
        }
        let count = self.prefix.len().min(out.remaining());
        out.put_slice(&self.prefix.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
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
