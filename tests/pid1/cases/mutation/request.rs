//! A request as bytes, and its answer.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::client::{Answer, parse};

/// A client does not wait longer for an answer; what takes longer (a stop with a grace period) is not wrong.
pub const PATIENCE: Duration = Duration::from_secs(2);

pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub chunked: bool,
    /// How much of all of it is sent.
    pub cut: Option<usize>,
}

impl Request {
    pub fn plain(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
            cut: None,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!(
            "{} {} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n",
            self.method, self.target
        )
        .into_bytes();
        for (name, value) in &self.headers {
            out.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        if self.chunked {
            out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in self.body.chunks(7) {
                out.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                out.extend(piece);
                out.extend(b"\r\n");
            }
            out.extend(b"0\r\n\r\n");
        } else {
            out.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).into_bytes());
            out.extend(&self.body);
        }
        if let Some(cut) = self.cut {
            out.truncate(cut);
        }
        out
    }

    pub fn show(&self) -> String {
        let bytes = self.bytes();
        String::from_utf8_lossy(&bytes[..bytes.len().min(6000)]).into_owned()
    }
}

/// The answer's head, and its body as far as it has come when it ends or the patience does.
pub fn send(socket: &Path, request: &Request) -> Option<Answer> {
    let mut stream = UnixStream::connect(socket).expect("the engine listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("set a timeout");
    // It may answer and close before it has read everything.
    let _ = stream.write_all(&request.bytes());
    if request.cut.is_some() {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let endless = ["/attach", "/wait", "/events", "/start", "/logs", "/stats"];
    let head_is_enough = endless.iter().any(|part| request.target.contains(part));
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
        let good = bytes.starts_with(b"HTTP/1.1 2") || bytes.starts_with(b"HTTP/1.1 1");
        if head_is_enough && good && parse(&bytes).is_some() {
            break;
        }
    }
    parse(&bytes)
}
