//! As much HTTP as the Docker API needs: one request a connection.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Asks, and gives the body of the answer, which must be a good one.
pub fn ask(
    socket: &Path,
    method: &str,
    target: &str,
    body: &[u8],
    content_type: &str,
) -> Result<Vec<u8>> {
    // HTTP/1.0: the answer ends with the connection and has no chunks.
    let head = format!(
        "{method} {target} HTTP/1.0\r\nHost: d\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .context("the answer has no head")?;
    let status = String::from_utf8_lossy(&answer[..end])
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let body = answer.split_off(end + 4);
    let text = String::from_utf8_lossy(&body);
    if !status.starts_with('2') || text.contains("\"errorDetail\"") {
        bail!("{method} {target}: {status} {}", text.trim());
    }
    Ok(body)
}

/// As [`ask`], with JSON both ways; no answer is `null`.
pub fn json(socket: &Path, method: &str, target: &str, body: &Value) -> Result<Value> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = ask(socket, method, target, body.as_bytes(), "application/json")?;
    match answer.is_empty() {
        true => Ok(Value::Null),
        false => serde_json::from_slice(&answer).with_context(|| format!("{method} {target}")),
    }
}

/// Starts an exec instance and reads its output to the end.
pub fn exec(socket: &Path, id: &str) -> Result<Vec<u8>> {
    let body = br#"{"Detach":false,"Tty":false}"#;
    let head = format!(
        "POST /exec/{id}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.1 101") {
        bail!("exec: {}", String::from_utf8_lossy(&answer));
    }
    Ok(answer)
}
