//! Why a command failed.

use std::io;
use std::path::PathBuf;

/// Why a command failed; the text is for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is not root.
    #[error("need to be root; try: sudo {command}")]
    NotRoot {
        /// The whole command.
        command: String,
    },
    /// The command was understood but cannot be done.
    #[error("{0}")]
    Refused(String),
    /// What went wrong was already said, per service.
    #[error("some services failed")]
    Reported,
    /// Acting on services failed.
    #[error(transparent)]
    Services(#[from] coracle_services::Error),
    /// The boot log cannot be used.
    #[error(transparent)]
    BootLog(#[from] coracle_boot_log::Error),
    /// A piece of configuration is wrong.
    #[error(transparent)]
    Config(#[from] coracle_config::Problem),
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Standard output or input failed.
    #[error("terminal: {0}")]
    Terminal(#[from] io::Error),
}

impl Error {
    /// Whether the reader of our output has gone away, which is its right.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Terminal(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
