//! What clients hear when dockerd has not started. PID 1 keeps the socket open, so without an answer they would wait in silence.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// How long a client may take to say what it wants, and to leave.
const PATIENCE: Duration = Duration::from_secs(5);
/// No head of a request is longer.
const LONGEST_HEAD: usize = 64 * 1024;
/// How much of a log's end is looked at.
const END_OF_LOG: u64 = 8 * 1024;

/// Answers every client of `socket`, those that have waited before too, with `503` and this text. Ends only by an error.
///
/// # Errors
/// The socket cannot be used.
pub async fn answer_all(socket: &OwnedFd, text: &str) -> io::Result<()> {
    let listener = net::UnixListener::from(socket.try_clone()?);
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        let answer = answer(client, text.to_owned());
        tokio::spawn(async move {
            // A client that goes away needs no answer.
            let _ = tokio::time::timeout(PATIENCE, answer).await;
        });
    }
}

async fn answer(mut client: UnixStream, text: String) -> io::Result<()> {
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        match client.read(&mut chunk).await? {
            0 => break,
            length => head.extend_from_slice(&chunk[..length]),
        }
    }
    client.write_all(&response(&head, &text)).await?;
    client.shutdown().await?;
    // Closed with something unread, the connection would be reset before the client has read the answer.
    while client.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// The API's form of an error (Docker Engine API, "Errors"); without a body for `HEAD`.
fn response(head: &[u8], text: &str) -> Vec<u8> {
    let body = json!({ "message": text }).to_string();
    let mut response = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if !head.starts_with(b"HEAD ") {
        response += &body;
    }
    response.into_bytes()
}

/// What a daemon said before it ended: the one line that it writes without time and level. All others begin with `time=`.
pub fn last_words(log: &str) -> Option<&str> {
    let mut lines = log.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty() && !line.starts_with("time="))
}

/// The end of a log file: what was added since it was `start` bytes long.
///
/// # Errors
/// It cannot be read.
pub fn end_of(mut log: &File, start: u64) -> io::Result<String> {
    let length = log.metadata()?.len();
    // Shorter than before: it was emptied since (logrotate).
    let start = if start > length { 0 } else { start };
    log.seek(SeekFrom::Start(
        start.max(length.saturating_sub(END_OF_LOG)),
    ))?;
    let mut end = Vec::new();
    log.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(request: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let socket = net::UnixListener::bind(&path).unwrap();
        // It waits before anybody answers.
        let mut client = UnixStream::connect(&path).await.unwrap();
        client.write_all(request).await.unwrap();
        let socket = socket.into();
        let mut answer = String::new();
        tokio::select! {
            result = answer_all(&socket, "no \"reason\"") => panic!("{result:?}"),
            result = client.read_to_string(&mut answer) => drop(result.unwrap()),
        }
        answer
    }

    #[tokio::test]
    async fn clients_get_the_apis_error() {
        let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 27\r\nConnection: close\r\n\r\n";
        let body = r#"{"message":"no \"reason\""}"#;
        let large = [
            b"POST /images/load HTTP/1.1\r\n\r\n".as_slice(),
            &[b'x'; 100_000],
        ]
        .concat();
        for (request, expected) in [
            (
                b"GET /v1.51/containers/json HTTP/1.1\r\nHost: d\r\n\r\n".as_slice(),
                format!("{head}{body}"),
            ),
            (b"HEAD /_ping HTTP/1.1\r\n\r\n", head.to_owned()),
            (&large, format!("{head}{body}")),
        ] {
            assert_eq!(ask(request).await, expected);
        }
    }

    #[test]
    fn the_last_words_are_those_without_a_time() {
        for (log, expected) in [
            ("", None),
            ("time=\"x\" level=info msg=\"Starting up\"\n", None),
            (
                "time=\"x\" level=info msg=\"Starting up\"\nfailed to start daemon: no\n\ntime=\"y\" level=info msg=\"containerd\"\n",
                Some("failed to start daemon: no"),
            ),
        ] {
            assert_eq!(last_words(log), expected);
        }
    }

    #[test]
    fn only_what_was_written_since_the_start_is_read() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"before\nafter\n").unwrap();
        assert_eq!(end_of(&file, 7).unwrap(), "after\n");
        io::Write::write_all(&mut file, &[b'x'; 10_000]).unwrap();
        assert_eq!(end_of(&file, 0).unwrap().len(), 8192);
        file.set_len(3).unwrap();
        assert_eq!(end_of(&file, 7).unwrap(), "bef");
    }
}
