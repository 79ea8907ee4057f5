//! One entry of a log file: `{"log":"text\n","stream":"stdout","time":"…"}` on a line of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::streams::Stream;

/// One entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLine {
    /// Where the process wrote it.
    pub stream: Stream,
    /// When it was read from the process.
    pub time: Timestamp,
    /// The text, with its newline if it had one.
    pub text: String,
    /// Labels and variables that the `labels` and `env` options of the log driver ask for.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    log: String,
    #[serde(default)]
    stream: String,
    time: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

impl LogLine {
    /// Parses one line of a log file; `None` for a damaged one.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(line).ok()?;
        let stream = if stored.stream == "stderr" {
            Stream::Stderr
        } else {
            Stream::Stdout
        };
        Some(Self {
            stream,
            time: stored.time.parse().ok()?,
            text: stored.log,
            attributes: stored.attrs,
        })
    }
}

/// Appends the file form of an entry to `out`. `attributes` is a JSON object or empty.
pub fn encode(out: &mut Vec<u8>, stream: Stream, time: &str, text: &[u8], attributes: &str) {
    out.extend_from_slice(b"{\"log\":\"");
    escape(out, text);
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    if !attributes.is_empty() {
        out.extend_from_slice(b"\",\"attrs\":");
        out.extend_from_slice(attributes.as_bytes());
        out.extend_from_slice(b",\"time\":\"");
    } else {
        out.extend_from_slice(b"\",\"time\":\"");
    }
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// JSON string escapes; bytes that are not UTF-8 become U+FFFD, as Docker does.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for part in text.utf8_chunks() {
        let bytes = part.valid().as_bytes();
        let mut clean = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            out.extend_from_slice(&bytes[clean..index]);
            clean = index + 1;
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
        }
        out.extend_from_slice(&bytes[clean..]);
        if !part.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_file() {
        let time: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
        for (text, expected) in [
            (&b"plain\n"[..], "plain\n"),
            (
                b"\"quoted\" \\ \t\r\x1b[0m\x00",
                "\"quoted\" \\ \t\r\x1b[0m\x00",
            ),
            ("grün \u{1f6a3}".as_bytes(), "grün \u{1f6a3}"),
            (b"bad \xff\xfe byte", "bad \u{fffd}\u{fffd} byte"),
        ] {
            let mut line = Vec::new();
            encode(
                &mut line,
                Stream::Stderr,
                &time.to_string(),
                text,
                r#"{"a":"b"}"#,
            );
            let parsed = LogLine::parse(&line).unwrap();
            let attributes = [("a".to_owned(), "b".to_owned())].into();
            assert_eq!(
                parsed,
                LogLine {
                    stream: Stream::Stderr,
                    time,
                    text: expected.into(),
                    attributes
                }
            );
        }
    }

    #[test]
    fn the_file_form_is_dockers() {
        let mut line = Vec::new();
        encode(
            &mut line,
            Stream::Stdout,
            "2026-01-02T03:04:05Z",
            b"hi\n",
            "",
        );
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"log\":\"hi\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
        );
        assert_eq!(LogLine::parse(b"{\"log\":\"cut o"), None);
    }
}
