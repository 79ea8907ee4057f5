//! Bodies of requests and answers.

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use coracle_engine::{Phase, Task, Work};
use futures_util::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::connection::Busy;
use crate::error::{Error, Result};

/// What a client sends.
pub type RequestBody = UnsyncBoxBody<Bytes, io::Error>;
/// A body that nobody has asked for yet, shared by the handler of a request and the one who answers it.
#[derive(Clone)]
pub struct Unread(Arc<Mutex<Option<RequestBody>>>);

impl Unread {
    /// A body that has just arrived.
    pub fn new(body: RequestBody) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// Takes it; once.
    pub fn take(&self) -> Option<RequestBody> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What it gets. An error cuts the connection, so that the client does not take a part for the whole.
pub type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;

/// Largest JSON body, bytes.
pub const JSON_LIMIT: usize = 4 << 20;
/// How much of a body that is too large is read all the same.
const DROPPED: usize = 64 << 20;
/// Size of the pieces of a generated archive, bytes.
const PIECE: usize = 64 * 1024;
/// Pieces of a generated archive that wait for the client.
const QUEUE: usize = 4;

/// No body.
pub fn empty() -> ResponseBody {
    Empty::new()
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body that is known as a whole.
pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body in pieces, each sent as it comes.
pub fn stream(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> ResponseBody {
    BodyExt::boxed_unsync(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))))
}

/// The same body, as long as which something is being done.
pub fn during(task: Task, body: ResponseBody) -> ResponseBody {
    Watched {
        held: Some(Box::new(task)),
        ..Watched::new(body)
    }
    .boxed_unsync()
}

/// The same body, as long as which a connection is busy.
pub fn busy(busy: Busy, body: ResponseBody) -> ResponseBody {
    Watched {
        held: Some(Box::new(busy)),
        ..Watched::new(body)
    }
    .boxed_unsync()
}

/// The same body, which comes to a good end when the engine hands over to its successor.
pub fn until_handover(work: &Work, body: ResponseBody) -> ResponseBody {
    let mut phase = work.phase();
    Watched {
        end: Box::pin(async move {
            // An error is the end of the engine.
            let _ = phase.wait_for(|phase| *phase == Phase::Frozen).await;
        }),
        ..Watched::new(body)
    }
    .boxed_unsync()
}

struct Watched {
    body: ResponseBody,
    /// Given back when the body has ended.
    held: Option<Box<dyn Send>>,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Watched {
    fn new(body: ResponseBody) -> Self {
        Self {
            body,
            held: None,
            end: Box::pin(std::future::pending()),
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => self.held = None,
            Poll::Pending if self.end.as_mut().poll(cx).is_ready() => return Poll::Ready(None),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body of JSON documents, one a line, sent as they come.
pub fn json_lines<T: serde::Serialize>(
    items: impl Stream<Item = T> + Send + 'static,
) -> ResponseBody {
    stream(items.map(|item| {
        let mut line = serde_json::to_vec(&item)?;
        line.push(b'\n');
        Ok(Bytes::from(line))
    }))
}

/// Reads a whole body of at most `limit` bytes. What is beyond that is read and dropped as far as [`DROPPED`], so that the
/// client gets to read the answer.
///
/// # Errors
/// When it is larger, or the client goes away.
pub async fn read(mut body: RequestBody, limit: usize) -> Result<Bytes> {
    let mut whole = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Error::BadRequest(format!("read request body: {error}")))?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        length += piece.len();
        if length <= limit {
            whole.extend_from_slice(&piece);
        } else if length > DROPPED {
            break;
        }
    }
    if length > limit {
        Err(Error::TooLarge { limit })
    } else {
        Ok(whole.freeze())
    }
}

/// Reads and drops a body, as far as [`DROPPED`].
pub async fn discard(body: RequestBody) {
    // Too much of it, or a client that has gone: both end the connection.
    let _ = read(body, 0).await;
}

/// Copies a body into a pipe, while `consumer` reads from the pipe's other end. When the consumer stops early the rest of
/// the body is read and dropped, so that the client gets to read the answer.
///
/// # Errors
/// Those of the consumer; when the client goes away the consumer sees the end of the data.
pub async fn pipe_to<T>(
    body: RequestBody,
    consumer: impl AsyncFnOnce(OwnedFd) -> Result<T>,
) -> Result<T> {
    pipe_whole(body, async |pipe, _| consumer(pipe).await).await
}

/// Room in the pipe to whoever reads a body.
const PIPE_BYTES: usize = 1 << 20;

/// Whether a body has come to its end; asked when the pipe has.
#[derive(Clone, Debug, Default)]
pub struct Whole(Arc<AtomicBool>);

impl Whole {
    /// False when the client has gone away before.
    pub fn is_whole(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// As [`pipe_to`], for consumers that must know whether the data is complete.
///
/// # Errors
/// Those of the consumer.
pub async fn pipe_whole<T>(
    mut body: RequestBody,
    consumer: impl AsyncFnOnce(OwnedFd, Whole) -> Result<T>,
) -> Result<T> {
    let internal =
        |error: io::Error| Error::Internal(format!("make a pipe for the request body: {error}"));
    let (reader, writer) = io::pipe().map_err(internal)?;
    // Fewer changes between the processes; the kernel may refuse.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES);
    let mut writer = pipe::Sender::from_owned_fd(writer.into()).map_err(internal)?;
    let whole = Whole::default();
    let end = whole.clone();
    let feed = async move {
        let mut open = true;
        loop {
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let (true, Some(data)) = (open, frame.data_ref()) {
                        open = writer.write_all(data).await.is_ok();
                    }
                }
                Some(Err(_)) => break,
                None => {
                    end.0.store(true, Ordering::Release);
                    break;
                }
            }
        }
    };
    let (result, ()) = tokio::join!(consumer(reader.into(), whole), feed);
    result
}

/// A body that blocking code writes, and the writer for it. Writing waits for a slow client and fails when it is gone.
pub fn written() -> (BodyWriter, ResponseBody) {
    let (queue, pieces) = mpsc::channel(QUEUE);
    let pieces = futures_util::stream::unfold(Some(pieces), async |pieces| {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Data(data)) => Some((Ok(data), Some(pieces))),
            Some(Piece::End) => None,
            // The writer has failed, or panicked.
            None => Some((Err(io::ErrorKind::UnexpectedEof.into()), None)),
        }
    });
    (
        BodyWriter {
            queue,
            piece: BytesMut::new(),
        },
        stream(pieces),
    )
}

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    End,
}

/// The writing end of [`written`]. One that is dropped without [`BodyWriter::finish`] cuts the connection.
#[derive(Debug)]
pub struct BodyWriter {
    queue: mpsc::Sender<Piece>,
    piece: BytesMut,
}

impl BodyWriter {
    /// Sends what is left: the body is complete. A client that has gone misses nothing.
    pub async fn finish(mut self) {
        let rest = self.piece.split().freeze();
        for piece in [Piece::Data(rest), Piece::End] {
            let _ = self.queue.send(piece).await;
        }
    }
}

impl Write for BodyWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(data);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Piece::Data(self.piece.split().freeze());
        self.queue
            .blocking_send(piece)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pieces: &'static [&'static str]) -> RequestBody {
        let pieces = pieces
            .iter()
            .map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        BodyExt::boxed_unsync(StreamBody::new(futures_util::stream::iter(pieces)))
    }

    #[tokio::test]
    async fn bodies_are_limited() {
        assert_eq!(read(request(&["ab", "cd"]), 4).await.unwrap(), "abcd");
        assert!(matches!(
            read(request(&["ab", "cd"]), 3).await,
            Err(Error::TooLarge { limit: 3 })
        ));
    }

    #[tokio::test]
    async fn a_body_reaches_its_consumer_through_a_pipe() {
        let text = pipe_to(request(&["ab", "cd"]), async |pipe| {
            let reading =
                tokio::task::spawn_blocking(move || io::read_to_string(std::fs::File::from(pipe)));
            Ok(reading.await.unwrap().unwrap())
        });
        assert_eq!(text.await.unwrap(), "abcd");
    }

    #[tokio::test]
    async fn a_cut_body_is_told_from_a_whole_one() {
        for (cut, expected) in [(false, true), (true, false)] {
            let pieces = ["ab", "cd"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
            let end = cut.then(|| Err(io::ErrorKind::BrokenPipe.into()));
            let pieces = futures_util::stream::iter(pieces.into_iter().chain(end));
            let body = BodyExt::boxed_unsync(StreamBody::new(pieces));
            let read = pipe_whole(body, async |pipe, whole| {
                let reading = tokio::task::spawn_blocking(move || {
                    let text = io::read_to_string(std::fs::File::from(pipe)).unwrap();
                    (text, whole.is_whole())
                });
                Ok(reading.await.unwrap())
            });
            assert_eq!(read.await.unwrap(), ("abcd".to_owned(), expected));
        }
    }

    #[tokio::test]
    async fn a_consumer_that_stops_early_ends_the_copy() {
        let result: Result<()> = pipe_to(request(&["ab", "cd"]), async |pipe| {
            drop(pipe);
            Err(Error::BadRequest("no archive".into()))
        })
        .await;
        assert_eq!(result.unwrap_err().to_string(), "no archive");
    }

    #[tokio::test]
    async fn what_is_written_arrives_or_fails_as_a_whole() {
        for (complete, expected) in [(true, Some(200_000)), (false, None)] {
            let (mut writer, body) = written();
            let write = tokio::task::spawn_blocking(move || {
                writer.write_all(&[b'x'; 200_000]).unwrap();
                writer
            });
            tokio::spawn(async move {
                let writer = write.await.unwrap();
                if complete {
                    writer.finish().await;
                }
            });
            let collected = body.collect().await.ok().map(|body| body.to_bytes().len());
            assert_eq!(collected, expected);
        }
        let (mut writer, body) = written();
        drop(body);
        let failed =
            tokio::task::spawn_blocking(move || writer.write_all(&[b'x'; 200_000]).is_err());
        assert!(failed.await.unwrap());
    }
}
