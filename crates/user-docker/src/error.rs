use std::io;
use std::path::{Path, PathBuf};

/// What can keep the engine from running.
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
    #[error("cannot run {program}: {cause} (looked in {})", crate::paths::SEARCH)]
    Start {
        /// Which program.
        program: String,
        /// Why.
        cause: io::Error,
    },
    /// A daemon ended although nobody asked it to.
    #[error(
        "{program} ended by itself ({status}); the end of {} says why",
        crate::paths::LOG
    )]
    Ended {
        /// Which program.
        program: &'static str,
        /// How.
        status: std::process::ExitStatus,
    },
    /// Docker did not answer.
    #[error("Docker does not answer on {}: {reason}", socket.display())]
    NoAnswer {
        /// Where it was asked.
        socket: PathBuf,
        /// What came instead.
        reason: String,
    },
    /// The role was called with other arguments than its own.
    #[error("{role}: {message}")]
    Usage {
        /// Which role.
        role: &'static str,
        /// What it takes.
        message: String,
    },
    /// Signals, timers or descriptors are unavailable.
    #[error("cannot {action}: {cause}")]
    System {
        /// Verb phrase.
        action: &'static str,
        /// Why.
        cause: io::Error,
    },
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |cause| Self::File {
            action,
            path,
            cause,
        }
    }

    /// For `map_err` on everything else of the kernel.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |cause| Self::System {
            action,
            cause: cause.into(),
        }
    }
}
