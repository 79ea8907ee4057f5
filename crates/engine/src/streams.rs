//! The standard streams of one run of a container or exec: output goes to any number of attached clients, input comes
//! from any of them.
//!
//! Output has back-pressure: a client that does not read stops the process's writes once its queue is full, as in
//! Docker; nothing is dropped and the memory of a client is bounded.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Chunks in a client's queue; a chunk is at most [`crate::pump::CHUNK`] bytes.
const CLIENT_QUEUE: usize = 8;
/// Chunks of input waiting for the process.
const INPUT_QUEUE: usize = 4;

/// Which output stream. With a terminal everything is stdout.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name in log files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The first byte of a frame header in Docker's multiplexed streams (API, "Attach": stream format).
    pub fn frame_type(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }
}

/// What attached clients send to the process.
#[derive(Debug)]
pub enum Input {
    /// Bytes for standard input.
    Data(Bytes),
    /// The end of standard input.
    Close,
}

/// A client's end of the output; ends when the streams are closed.
pub type Output = mpsc::Receiver<(Stream, Bytes)>;

/// The streams of one run.
#[derive(Debug)]
pub struct Streams {
    clients: Mutex<Clients>,
    input: mpsc::Sender<Input>,
    input_end: Mutex<Option<mpsc::Receiver<Input>>>,
}

#[derive(Debug, Default)]
struct Clients {
    closed: bool,
    list: Vec<Client>,
}

#[derive(Clone, Debug)]
struct Client {
    stdout: bool,
    stderr: bool,
    queue: mpsc::Sender<(Stream, Bytes)>,
}

impl Default for Streams {
    fn default() -> Self {
        let (input, input_end) = mpsc::channel(INPUT_QUEUE);
        Self {
            clients: Mutex::default(),
            input,
            input_end: Mutex::new(Some(input_end)),
        }
    }
}

impl Streams {
    /// Attaches a client to the chosen outputs (none is allowed: the result then only tells when the run is over).
    /// `None` when the run is over already.
    pub fn subscribe(&self, stdout: bool, stderr: bool) -> Option<Output> {
        let mut clients = self.clients();
        if clients.closed {
            return None;
        }
        let (queue, output) = mpsc::channel(CLIENT_QUEUE);
        clients.list.push(Client {
            stdout,
            stderr,
            queue,
        });
        Some(output)
    }

    /// Where clients put input. Sending fails once the process no longer reads.
    pub fn input(&self) -> mpsc::Sender<Input> {
        self.input.clone()
    }

    /// The process's end of the input, once.
    pub fn take_input_end(&self) -> Option<mpsc::Receiver<Input>> {
        self.input_end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Gives output to every attached client, waiting for those whose queue is full.
    pub async fn publish(&self, stream: Stream, chunk: &Bytes) {
        let targets: Vec<Client> = {
            let mut clients = self.clients();
            clients.list.retain(|client| !client.queue.is_closed());
            clients
                .list
                .iter()
                .filter(|client| match stream {
                    Stream::Stdout => client.stdout,
                    Stream::Stderr => client.stderr,
                })
                .cloned()
                .collect()
        };
        for client in targets {
            // An error means that the client has gone; the next call removes it.
            let _ = client.queue.send((stream, chunk.clone())).await;
        }
    }

    /// Ends the run: clients read what is in their queues, then the end.
    pub fn close(&self) {
        let mut clients = self.clients();
        clients.closed = true;
        clients.list = Vec::new();
        drop(clients);
        drop(self.take_input_end());
    }

    /// Whether the run is over.
    pub fn is_closed(&self) -> bool {
        self.clients().closed
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_get_what_they_asked_for_until_the_end() {
        let streams = Streams::default();
        let mut both = streams.subscribe(true, true).unwrap();
        let mut errors = streams.subscribe(false, true).unwrap();
        let mut none = streams.subscribe(false, false).unwrap();
        streams
            .publish(Stream::Stdout, &Bytes::from_static(b"out"))
            .await;
        streams
            .publish(Stream::Stderr, &Bytes::from_static(b"err"))
            .await;
        streams.close();
        assert_eq!(
            both.recv().await,
            Some((Stream::Stdout, Bytes::from_static(b"out")))
        );
        assert_eq!(
            both.recv().await,
            Some((Stream::Stderr, Bytes::from_static(b"err")))
        );
        assert_eq!(both.recv().await, None);
        assert_eq!(
            errors.recv().await,
            Some((Stream::Stderr, Bytes::from_static(b"err")))
        );
        assert_eq!(none.recv().await, None);
        assert!(streams.subscribe(true, true).is_none());
        assert!(streams.input().send(Input::Close).await.is_err());
    }

    #[tokio::test]
    async fn a_full_queue_holds_the_publisher_until_the_client_reads_or_goes() {
        let streams = std::sync::Arc::new(Streams::default());
        let mut slow = streams.subscribe(true, false).unwrap();
        let publisher = std::sync::Arc::clone(&streams);
        let total = CLIENT_QUEUE * 3;
        let task = tokio::spawn(async move {
            for number in 0..total {
                publisher
                    .publish(Stream::Stdout, &Bytes::from(number.to_string()))
                    .await;
            }
        });
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        for number in 0..total / 2 {
            assert_eq!(slow.recv().await.unwrap().1, number.to_string());
        }
        drop(slow);
        task.await.unwrap();
    }
}
