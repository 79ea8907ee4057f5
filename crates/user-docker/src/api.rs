//! The few questions that the supervisor asks of dockerd, in HTTP/1.0: an answer ends with the connection, and nothing has
//! to be parsed but its first line. Clients with more to ask use bollard.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::error::Error;

/// Docker's API on a Unix socket.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    /// The API at `socket`; nothing is sent yet.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self {
            socket: socket.as_ref().to_owned(),
        }
    }

    /// Returns when the API answers. On a socket that PID 1 listens on, the connection waits for dockerd to take it, so this
    /// is one request however long that takes.
    ///
    /// # Errors
    /// Nobody listens, or the answer is not `200`.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut answer = self.get("/_ping").await?;
        let mut body = String::new();
        answer
            .read_to_string(&mut body)
            .await
            .map_err(|error| self.no_answer(error))?;
        Ok(())
    }

    /// Subscribes to the daemon's own `reload` events; the answer's headers have arrived when it returns.
    ///
    /// # Errors
    /// Those of [`Self::ping`].
    pub async fn reload_events(&self) -> Result<Reloads, Error> {
        // {"event":["reload"],"type":["daemon"]}
        let path = "/events?filters=%7B%22event%22%3A%5B%22reload%22%5D%2C%22type%22%3A%5B%22daemon%22%5D%7D";
        Ok(Reloads(self.get(path).await?))
    }

    async fn get(&self, path: &str) -> Result<BufReader<UnixStream>, Error> {
        let stream = UnixStream::connect(&self.socket).await;
        let mut stream = BufReader::new(stream.map_err(|error| self.no_answer(error))?);
        let request = format!("GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(|error| self.no_answer(error))?;
        let mut first = String::new();
        let mut line = String::new();
        loop {
            line.clear();
            let length = stream.read_line(&mut line).await;
            if length.map_err(|error| self.no_answer(error))? == 0 {
                return Err(self.no_answer("the connection was closed"));
            }
            if first.is_empty() {
                first = line.trim_end().to_owned();
            } else if line.trim_end().is_empty() {
                break;
            }
        }
        match first.split(' ').nth(1) {
            Some("200") => Ok(stream),
            _ => Err(self.no_answer(first)),
        }
    }

    fn no_answer(&self, reason: impl ToString) -> Error {
        Error::NoAnswer {
            socket: self.socket.clone(),
            reason: reason.to_string(),
        }
    }
}

/// A subscription to reloads.
pub struct Reloads(BufReader<UnixStream>);

impl Reloads {
    /// Returns after the next reload, or when dockerd has closed the stream.
    pub async fn next(&mut self) {
        let mut line = String::new();
        // The only events are the ones asked for.
        let _ = self.0.read_line(&mut line).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    async fn answer(answer: &'static str) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        });
        let result = Api::new(&socket).ping().await;
        assert_eq!(
            server.await.unwrap(),
            "GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"
        );
        result.map_err(|error| {
            error
                .to_string()
                .replace(&socket.display().to_string(), "SOCKET")
        })
    }

    #[tokio::test]
    async fn answers_are_understood() {
        let table = [
            ("HTTP/1.0 200 OK\r\nApi-Version: 1.51\r\n\r\nOK", Ok(())),
            (
                "HTTP/1.0 500 Internal Server Error\r\n\r\n",
                Err("Docker does not answer on SOCKET: HTTP/1.0 500 Internal Server Error"),
            ),
            (
                "",
                Err("Docker does not answer on SOCKET: the connection was closed"),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(answer(text).await, expected.map_err(str::to_owned));
        }
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let error = Api::new("/nonexistent.sock").ping().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "Docker does not answer on /nonexistent.sock: No such file or directory (os error 2)"
        );
    }
}
