use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ports::parse_usernet;
use crate::{Error, Forward, Result};

/// How long QEMU may take to answer a command.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// QEMU's control connection (QEMU Machine Protocol).
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    received: Vec<u8>,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Takes a connected control socket through QMP's greeting.
    ///
    /// # Errors
    /// QEMU ended, or another program holds the connection.
    pub fn new(stream: UnixStream) -> Result<Self> {
        let mut qmp = Self {
            stream,
            received: Vec::new(),
            events: VecDeque::new(),
        };
        let greeting = qmp.message(Instant::now() + ANSWER_LIMIT, "QEMU's greeting")?;
        if greeting.get("QMP").is_none() {
            return Err(Error::Qmp {
                command: "greeting".into(),
                message: greeting.to_string(),
            });
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns QEMU's answer.
    ///
    /// # Errors
    /// QEMU refuses it, does not answer, or has ended.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        self.stream
            .write_all(line.as_bytes())
            .map_err(|error| ended(&error.to_string()))?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            let mut message = self.message(deadline, &format!("QEMU's answer to `{command}`"))?;
            if message.get("event").is_some() {
                self.events.push_back(message);
            } else if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            } else {
                let text = message["error"]["desc"]
                    .as_str()
                    .map_or_else(|| message.to_string(), str::to_owned);
                return Err(Error::Qmp {
                    command: command.to_owned(),
                    message: text,
                });
            }
        }
    }

    /// Waits for one of the events and returns it; earlier events of other kinds are dropped.
    ///
    /// # Errors
    /// The limit is reached or QEMU has ended.
    pub fn wait_for_event(&mut self, names: &[&str], limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.message(deadline, &format!("QEMU's event {}", names.join(" or ")))?,
            };
            if event["event"]
                .as_str()
                .is_some_and(|name| names.contains(&name))
            {
                return Ok(event);
            }
        }
    }

    /// Drops the events that came so far.
    pub fn forget_events(&mut self) {
        self.events.clear();
        // What is still in the socket is read by the answer to a command that changes nothing.
        if self.execute("query-status", json!({})).is_ok() {
            self.events.clear();
        }
    }

    /// The forwarded ports, as opened.
    pub(crate) fn forwards(&mut self) -> Result<Vec<Forward>> {
        let answer = self.execute(
            "human-monitor-command",
            json!({"command-line": "info usernet"}),
        )?;
        Ok(parse_usernet(answer.as_str().unwrap_or_default()))
    }

    /// Writes the screen as PNG.
    pub(crate) fn screenshot(&mut self, path: &Path) -> Result<()> {
        self.execute("screendump", json!({"filename": path, "format": "png"}))
            .map(drop)
    }

    fn message(&mut self, deadline: Instant, what: &str) -> Result<Value> {
        let started = Instant::now();
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|error| Error::Qmp {
                    command: what.to_owned(),
                    message: format!("no JSON: {error}"),
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                    limit: deadline.saturating_duration_since(started),
                    context: String::new(),
                });
            }
            self.stream
                .set_read_timeout(Some(left))
                .map_err(|error| ended(&error.to_string()))?;
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ended("its control connection closed")),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(ended(&error.to_string())),
            }
        }
    }
}

fn ended(why: &str) -> Error {
    Error::QemuEnded {
        stderr: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_events_that_come_before_an_answer() {
        let (ours, mut qemu) = UnixStream::pair().unwrap();
        let answers = concat!(
            "{\"QMP\": {}}\r\n{\"return\": {}}\r\n",
            "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n{\"return\": {\"running\": true}}\r\n",
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}\r\n",
        );
        qemu.write_all(answers.as_bytes()).unwrap();
        let mut qmp = Qmp::new(ours).unwrap();
        assert_eq!(
            qmp.execute("query-status", json!({})).unwrap(),
            json!({"running": true})
        );
        let event = qmp
            .wait_for_event(&["RESET"], Duration::from_secs(20))
            .unwrap();
        assert_eq!(event["data"], json!({"guest": true}));
        let error = qmp.execute("x", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused `x`: no such thing");
    }
}
