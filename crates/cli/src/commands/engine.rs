//! `ros engine`: System Docker itself, as the program that it is.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::Error;
use crate::context::Context;

/// System Docker's socket.
const SOCKET: &str = "/var/run/system-docker.sock";
/// How long the engine may take: it finishes what it is doing first, for a minute at most.
const PATIENCE: Duration = Duration::from_secs(150);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Engine {
    /// Replace System Docker by the installed version; containers and services go on
    Reload(Reload),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    /// Replace it by this program instead (a path as PID 1 sees it)
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Engine {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let Self::Reload(reload) = self;
        reload.run(context)
    }
}

impl Reload {
    fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let query = match &self.binary {
            Some(binary) => format!("?binary={}", encode(&binary.to_string_lossy())),
            None => String::new(),
        };
        let asked = ask(context, &format!("POST /coracle/reload{query}"))?;
        // Answered by the successor, as soon as it serves.
        let now = ask(context, "GET /coracle/engine")?;
        if now["Generation"] != asked["Generation"] {
            return Err(Error::Refused(
                "the new System Docker could not be executed, the old one goes on: see /var/log/system-docker.log".into(),
            ));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(writeln!(
            context.out,
            "System Docker is now {} {}",
            text(&asked["Binary"]),
            text(&now["Version"])
        )?)
    }
}

/// One request to System Docker; the answer's JSON.
fn ask(context: &Context<'_>, line: &str) -> Result<Value, Error> {
    let path = context.path(SOCKET);
    let exchange = || {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{line} HTTP/1.0\r\nHost: docker\r\nContent-Length: 0\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(Error::file("use", &path))?;
    parse(&answer)
}

fn parse(answer: &str) -> Result<Value, Error> {
    let broken = || Error::Refused("System Docker's answer makes no sense".into());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).ok_or_else(broken)?;
    let value: Value = serde_json::from_str(body).map_err(|_| broken())?;
    if status == "200" {
        return Ok(value);
    }
    let message = value["message"].as_str().ok_or_else(broken)?;
    Err(Error::Refused(message.into()))
}

/// Percent-encoding of everything that has a meaning in a query.
fn encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_json_or_the_engines_reason() {
        for (answer, expected) in [
            (
                "HTTP/1.0 200 OK\r\na: b\r\n\r\n{\"Generation\":1}\n",
                Ok(serde_json::json!({"Generation": 1})),
            ),
            (
                "HTTP/1.0 409 Conflict\r\n\r\n{\"message\":\"cannot reload the engine: no\"}",
                Err("cannot reload the engine: no"),
            ),
            ("", Err("System Docker's answer makes no sense")),
        ] {
            let parsed = parse(answer).map_err(|error| error.to_string());
            assert_eq!(parsed, expected.map_err(str::to_owned), "{answer}");
        }
    }

    #[test]
    fn paths_fit_into_a_query() {
        assert_eq!(encode("/opt/a b&c"), "/opt/a%20b%26c");
    }
}
