use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong in the console. `init` logs these and goes on.
///
/// Each text holds its cause, which is not in `source()` as well: printing the chain would repeat it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be handled.
    #[error("cannot {action} {}: {cause}", path.display())]
    File {
        /// Verb.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A program could not be started.
    #[error("cannot run {program}: {cause}")]
    Start {
        /// Which program.
        program: String,
        /// Why.
        cause: io::Error,
    },
    /// A program said no.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// Which program, with what made it special.
        program: String,
        /// Exit status.
        status: std::process::ExitStatus,
        /// What it wrote to standard error.
        message: String,
    },
    /// A user or group of the configuration does not exist.
    #[error("there is no {kind} {name:?} in the console")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An entry of the configuration cannot be used.
    #[error("{key}: {message}")]
    Config {
        /// Dotted key.
        key: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A terminal could not be taken.
    #[error("cannot {action} {}: {cause}", path.display())]
    Terminal {
        /// Verb.
        action: &'static str,
        /// Device.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Signals are unavailable.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File {
            action,
            path,
            cause,
        }
    }
}
