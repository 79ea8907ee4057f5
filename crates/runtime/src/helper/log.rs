//! What `libcontainer` tells `tracing`, as JSON lines in a file.
//!
//! Its error values say "failed syscall"; which call, on what, and why is only in its events, some of them told by the
//! processes it forks. All of them write to one descriptor, opened for appending before the first fork.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write as _};
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// One event.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Line {
    /// `error` or `warn`.
    pub level: String,
    /// Module that told it.
    pub target: String,
    /// Its text.
    #[serde(rename = "msg")]
    pub message: String,
    /// Its named values, in the order of the source.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
}

impl Line {
    /// Value of a named field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Opens the log for appending and reading; without a path it lives in memory.
pub fn open(path: Option<&Path>) -> io::Result<File> {
    match path {
        Some(path) => OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path),
        None => {
            let file = File::from(memfd_create("runtime-log", MemfdFlags::CLOEXEC)?);
            rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::APPEND)?;
            Ok(file)
        }
    }
}

/// Every line logged so far; lines that are no events are left out.
pub fn read(mut log: &File) -> Vec<Line> {
    let mut text = String::new();
    if log
        .rewind()
        .and_then(|()| log.read_to_string(&mut text))
        .is_err()
    {
        return Vec::new();
    }
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Appends one JSON line. A log that cannot be written must not stop a container.
pub fn append(mut log: &File, line: &impl Serialize) {
    if let Ok(mut text) = serde_json::to_string(line) {
        text.push('\n');
        let _ = log.write_all(text.as_bytes());
    }
}

/// The subscriber: warnings and errors become lines of the log.
pub struct Recorder(pub File);

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line {
            level: metadata.level().as_str().to_ascii_lowercase(),
            target: metadata.target().to_owned(),
            ..Line::default()
        };
        event.record(&mut line);
        append(&self.0, &line);
    }

    // Spans are never enabled.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name.to_owned(), text)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_become_lines() {
        let log = open(None).unwrap();
        tracing::subscriber::with_default(Recorder(log.try_clone().unwrap()), || {
            tracing::info!("not kept");
            tracing::error!(path = ?Path::new("/x"), kind = "k", "failed to {}", "mount");
        });
        let lines = read(&log);
        assert_eq!(
            lines,
            [Line {
                level: "error".into(),
                target: module_path!().into(),
                message: "failed to mount".into(),
                fields: vec![
                    ("path".into(), "\"/x\"".into()),
                    ("kind".into(), "k".into())
                ],
            }]
        );
        assert_eq!(lines[0].field("kind"), Some("k"));
    }
}
