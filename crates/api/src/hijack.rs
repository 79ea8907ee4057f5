//! A hijacked connection: a client's keyboard and screen at a process's standard streams.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use coracle_engine::detach::DetachFilter;
use coracle_engine::{Input, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::frame::Framing;

/// Most bytes that are read from a client at once.
const CHUNK: usize = 16 * 1024;
/// How long a client may take to close its side after the end of the output.
const LINGER: Duration = Duration::from_secs(10);

/// What connects a client with a process.
#[derive(Debug)]
pub struct Terminal {
    /// How output travels.
    pub framing: Framing,
    /// Sent first: the log so far, framed.
    pub backlog: Option<mpsc::Receiver<Bytes>>,
    /// The process's output; without it the session ends after the backlog.
    pub output: Option<Output>,
    /// The process's input, if the client may type.
    pub input: Option<Keyboard>,
}

/// Where a client's input goes.
#[derive(Debug)]
pub struct Keyboard {
    /// The process's end.
    pub process: mpsc::Sender<Input>,
    /// Whether the end of the client's input is the end of the process's.
    pub closes: bool,
    /// Keys that end the session.
    pub detach: Option<DetachFilter>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The process's output has ended.
    Output,
    /// The client typed its detach keys.
    Detached,
    /// The client has gone.
    ClientGone,
}

impl Terminal {
    /// Serves a client until one side ends the session. The connection is closed then.
    pub async fn run(self, connection: Connection) -> End {
        let presence = connection.presence();
        let (mut reader, mut writer) = tokio::io::split(connection);
        let Self {
            framing,
            backlog,
            output,
            input,
        } = self;
        let end = tokio::select! {
            end = show(&mut writer, framing, backlog, output) => end,
            end = async {
                match typed(&mut reader, input).await {
                    Typed::Detached => End::Detached,
                    // The end of a client's input is not yet the end of its interest.
                    Typed::All => {
                        presence.await;
                        End::ClientGone
                    }
                }
            } => end,
        };
        if end != End::ClientGone && writer.shutdown().await.is_ok() {
            // Closing a Unix socket that holds unread bytes is an error for the other side, which then takes the end of
            // the output for a failure: what is still typed is read and dropped.
            let rest = drop_rest(&mut reader);
            let _ = tokio::time::timeout(LINGER, rest).await;
        }
        end
    }
}

async fn drop_rest(reader: &mut ReadHalf<Connection>) {
    let _ = tokio::io::copy(reader, &mut tokio::io::sink()).await;
}

/// Copies output to the client.
async fn show(
    writer: &mut WriteHalf<Connection>,
    framing: Framing,
    backlog: Option<mpsc::Receiver<Bytes>>,
    output: Option<Output>,
) -> End {
    if let Some(mut backlog) = backlog {
        while let Some(piece) = backlog.recv().await {
            if writer.write_all(&piece).await.is_err() {
                return End::ClientGone;
            }
        }
    }
    let Some(mut output) = output else {
        return End::Output;
    };
    while let Some((stream, piece)) = output.recv().await {
        let written = match framing.header(stream, piece.len()) {
            Some(header) => {
                let mut framed = Buf::chain(header.as_slice(), piece);
                writer.write_all_buf(&mut framed).await
            }
            None => writer.write_all(&piece).await,
        };
        if written.is_err() {
            return End::ClientGone;
        }
    }
    End::Output
}

enum Typed {
    Detached,
    All,
}

/// Copies input to the process until the client detaches or its input ends.
async fn typed(reader: &mut ReadHalf<Connection>, input: Option<Keyboard>) -> Typed {
    let mut keyboard = input;
    let mut filter = keyboard
        .as_mut()
        .and_then(|keyboard| keyboard.detach.take());
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match reader.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let mut piece = buffer.split().freeze();
        let mut detach = false;
        if let Some(filter) = &mut filter {
            let (passed, complete) = filter.push(&piece);
            (piece, detach) = (passed.into(), complete);
        }
        if let Some(keyboard) = keyboard.as_ref().filter(|_| !piece.is_empty()) {
            // A process that reads no more may still have something to say.
            let _ = keyboard.process.send(Input::Data(piece)).await;
        }
        if detach {
            return Typed::Detached;
        }
    }
    if let Some(keyboard) = keyboard.filter(|keyboard| keyboard.closes) {
        // A process that is gone has no input to close.
        let _ = keyboard.process.send(Input::Close).await;
    }
    Typed::All
}

#[cfg(test)]
mod tests {
    use coracle_engine::Stream;
    use coracle_engine::detach::parse_keys;
    use tokio::net::UnixStream;
    use tokio::task::JoinHandle;

    use super::*;

    /// Both ends of a session.
    struct Ends {
        client: UnixStream,
        output: mpsc::Sender<(Stream, Bytes)>,
        input: mpsc::Receiver<Input>,
        session: JoinHandle<End>,
    }

    fn begin(tty: bool, closes: bool, detach: Option<&str>) -> Ends {
        let (client, server) = UnixStream::pair().unwrap();
        let (output, shown) = mpsc::channel(8);
        let (process, input) = mpsc::channel(8);
        let detach = detach.map(|keys| DetachFilter::new(parse_keys(keys).unwrap()));
        let terminal = Terminal {
            framing: Framing::of(tty),
            backlog: None,
            output: Some(shown),
            input: Some(Keyboard {
                process,
                closes,
                detach,
            }),
        };
        let server = Connection::new(Bytes::new(), server);
        Ends {
            client,
            output,
            input,
            session: tokio::spawn(terminal.run(server)),
        }
    }

    #[tokio::test]
    async fn output_is_framed_until_its_end() {
        let framed: &[u8] = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err";
        for (tty, expected) in [(true, &b"outerr"[..]), (false, framed)] {
            let Ends {
                mut client,
                output,
                input: _input,
                session,
            } = begin(tty, false, None);
            // The client ends its input at once, as a CLI without `-i` does; output goes on.
            client.shutdown().await.unwrap();
            output
                .send((Stream::Stdout, Bytes::from_static(b"out")))
                .await
                .unwrap();
            output
                .send((Stream::Stderr, Bytes::from_static(b"err")))
                .await
                .unwrap();
            drop(output);
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            assert_eq!(
                (got.as_slice(), session.await.unwrap()),
                (expected, End::Output)
            );
        }
    }

    #[tokio::test]
    async fn the_end_of_input_reaches_the_process_only_if_it_shall() {
        for closes in [true, false] {
            let Ends {
                mut client,
                output,
                mut input,
                session,
            } = begin(false, closes, None);
            client.write_all(b"hello").await.unwrap();
            client.shutdown().await.unwrap();
            assert!(matches!(input.recv().await, Some(Input::Data(data)) if data == "hello"));
            if closes {
                assert!(matches!(input.recv().await, Some(Input::Close)));
            }
            drop(output);
            assert_eq!(session.await.unwrap(), End::Output);
            assert!(input.recv().await.is_none());
        }
    }

    #[tokio::test]
    async fn detach_keys_end_the_session_and_not_the_process() {
        let Ends {
            mut client,
            output,
            mut input,
            session,
        } = begin(true, true, Some("ctrl-p,ctrl-q"));
        client.write_all(b"ab\x10\x11").await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        drop(client);
        assert_eq!(session.await.unwrap(), End::Detached);
        assert!(matches!(input.recv().await, Some(Input::Data(data)) if data == "ab"));
        assert!(input.recv().await.is_none());
        assert!(got.is_empty() && output.is_closed());
    }

    #[tokio::test]
    async fn input_that_nobody_reads_is_dropped_and_output_goes_on() {
        let Ends {
            mut client,
            output,
            input,
            session,
        } = begin(true, true, None);
        drop(input);
        client.write_all(&[b'x'; 100_000]).await.unwrap();
        output
            .send((Stream::Stdout, Bytes::from_static(b"still here")))
            .await
            .unwrap();
        drop(output);
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        drop(client);
        assert_eq!(
            (got.as_str(), session.await.unwrap()),
            ("still here", End::Output)
        );
    }

    #[tokio::test]
    async fn a_client_that_goes_away_is_noticed_without_output() {
        let Ends {
            client,
            output,
            input: _input,
            session,
        } = begin(true, true, None);
        drop(client);
        assert_eq!(session.await.unwrap(), End::ClientGone);
        assert!(output.is_closed());
    }
}
