//! Why a container or an exec did not start, in Docker's words.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::helper::Line;

/// What kind of failure it was; it decides the exit code that clients see.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The executable, its interpreter or the working directory does not exist: exit code 127.
    NotFound,
    /// It exists but may not be executed: exit code 126.
    NotExecutable,
    /// Anything else: exit code 128.
    Other,
}

/// The helper's report of a container or exec that did not start.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// The cause, for example `exec: "x": executable file not found in $PATH`.
    pub message: String,
}

/// The last line of a helper's log.
#[derive(Deserialize, Serialize)]
pub(crate) struct Report {
    pub failure: Failure,
}

impl Failure {
    /// The exit code that Docker records for a container that failed to start this way.
    pub fn exit_code(&self) -> i32 {
        match self.kind {
            FailureKind::NotFound => 127,
            FailureKind::NotExecutable => 126,
            FailureKind::Other => 128,
        }
    }

    /// The message of the API's error for `POST /containers/{id}/start`.
    pub fn create_message(&self) -> String {
        format!(
            "failed to create task for container: OCI runtime create failed: unable to start container process: error \
             during container init: {}",
            self.message
        )
    }

    /// The message of the API's error for `POST /exec/{id}/start`.
    pub fn exec_message(&self) -> String {
        format!(
            "OCI runtime exec failed: exec failed: unable to start container process: {}",
            self.message
        )
    }

    /// Reads the report from the helper's log.
    ///
    /// Never fails: a missing or unreadable log (the helper was killed) is itself described.
    pub fn read(log: &Path) -> Self {
        let other = |message| Self {
            kind: FailureKind::Other,
            message,
        };
        let text = match fs::read_to_string(log) {
            Ok(text) => text,
            Err(error) => {
                return other(format!(
                    "the runtime helper left no report: {}: {error}",
                    log.display()
                ));
            }
        };
        match text
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str::<Report>(line).ok())
        {
            Some(report) => report.failure,
            None => other(format!(
                "the runtime helper was killed before it could report: see {}",
                log.display()
            )),
        }
    }
}

const TARGET: &str = "coracle::failure";

/// Tells the log, from a process in the container, exactly why it cannot go on.
pub(crate) fn tell(kind: FailureKind, message: &str) {
    let kind = match kind {
        FailureKind::NotFound => "not-found",
        FailureKind::NotExecutable => "not-executable",
        FailureKind::Other => "other",
    };
    tracing::error!(target: TARGET, kind, "{message}");
}

/// What [`tell`] told, if `line` is of that kind.
pub(crate) fn told(line: &Line) -> Option<Failure> {
    let kind = match line.field("kind")? {
        "not-found" => FailureKind::NotFound,
        "not-executable" => FailureKind::NotExecutable,
        _ => FailureKind::Other,
    };
    (line.target == TARGET).then(|| Failure {
        kind,
        message: line.message.clone(),
    })
}

/// What one of libcontainer's events means; `error` is its final error's text, `cwd` the process's working directory.
pub(crate) fn from_event(line: &Line, error: &str, cwd: &str) -> Failure {
    let cause = line
        .field("err")
        .or(line.field("e"))
        .or(line.field("error"));
    let errno = cause.and_then(errno_of);
    if line.message == "failed to chdir" {
        let text = errno.map_or_else(
            || cause.unwrap_or_default().to_owned(),
            |e| errno_text(&e.into()),
        );
        let kind = errno.map_or(FailureKind::Other, |e| kind_of(&e.into()));
        return Failure {
            kind,
            message: format!("chdir to cwd (\"{cwd}\") set in config.json failed: {text}"),
        };
    }
    let mut message = line.message.clone();
    for (name, value) in &line.fields {
        match errno.filter(|_| Some(value.as_str()) == cause) {
            Some(errno) => message = format!("{message}: {}", errno_text(&errno.into())),
            None if value.len() < 200 => message = format!("{message} ({name}: {value})"),
            None => {}
        }
    }
    if !error.contains(&line.message) {
        message = format!("{message}; {error}");
    }
    Failure {
        kind: FailureKind::Other,
        message,
    }
}

/// The number in `nix`'s debug text, `ENOENT` or `Nix(ENOENT)`.
fn errno_of(text: &str) -> Option<rustix::io::Errno> {
    use rustix::io::Errno;
    let name = text.trim_end_matches(')').rsplit('(').next()?;
    [
        ("EPERM", Errno::PERM),
        ("ENOENT", Errno::NOENT),
        ("EACCES", Errno::ACCESS),
        ("EBUSY", Errno::BUSY),
        ("ENODEV", Errno::NODEV),
        ("ENOTDIR", Errno::NOTDIR),
        ("EISDIR", Errno::ISDIR),
        ("EINVAL", Errno::INVAL),
        ("ENOSPC", Errno::NOSPC),
        ("EROFS", Errno::ROFS),
        ("ELOOP", Errno::LOOP),
        ("ENOMEM", Errno::NOMEM),
        ("EEXIST", Errno::EXIST),
    ]
    .into_iter()
    .find_map(|(known, errno)| (known == name).then_some(errno))
}

/// The kernel's words for an error, in lower case and without Rust's "(os error 2)", as Go prints them.
pub(crate) fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

pub(crate) fn kind_of(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::NotFound => FailureKind::NotFound,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory => FailureKind::NotExecutable,
        _ => FailureKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_report_of_a_log_is_the_failure() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let missing = Failure::read(&log);
        assert!(
            missing
                .message
                .starts_with("the runtime helper left no report: "),
            "{missing}"
        );
        fs::write(&log, "{\"level\":\"error\"}\n").unwrap();
        assert!(
            Failure::read(&log)
                .message
                .starts_with("the runtime helper was killed")
        );
        let failure = Failure {
            kind: FailureKind::NotFound,
            message: "exec: \"x\": …".into(),
        };
        let line = serde_json::to_string(&Report {
            failure: failure.clone(),
        })
        .unwrap();
        assert_eq!(
            line,
            r#"{"failure":{"kind":"not-found","message":"exec: \"x\": …"}}"#
        );
        fs::write(&log, format!("{{\"level\":\"error\"}}\n{line}\n")).unwrap();
        assert_eq!(Failure::read(&log), failure);
        assert_eq!(failure.exit_code(), 127);
    }

    #[test]
    fn events_are_explained() {
        let line = |message: &str, fields: &[(&str, &str)]| Line {
            level: "error".into(),
            target: "libcontainer".into(),
            message: message.into(),
            fields: fields
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        };
        for (line, kind, message) in [
            (
                line("failed to chdir", &[("e", "ENOENT")]),
                FailureKind::NotFound,
                "chdir to cwd (\"/w\") set in config.json failed: no such file or directory",
            ),
            (
                line(
                    "failed to mount",
                    &[("path", "\"/x\""), ("err", "Nix(EINVAL)")],
                ),
                FailureKind::Other,
                "failed to mount (path: \"/x\"): invalid argument; failed syscall",
            ),
            (
                line("odd", &[("err", "Odd")]),
                FailureKind::Other,
                "odd (err: Odd); failed syscall",
            ),
        ] {
            assert_eq!(
                from_event(&line, "failed syscall", "/w"),
                Failure {
                    kind,
                    message: message.into()
                }
            );
        }
    }
}
