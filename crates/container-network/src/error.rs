//! What can go wrong with networks, in Docker's words where Docker has some.

use std::io;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error; its text is what the client sees.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong in itself (HTTP 400).
    #[error("{0}")]
    Invalid(String),
    /// The request is understood and refused (HTTP 403).
    #[error("{0}")]
    Forbidden(String),
    /// Something that is named does not exist (HTTP 404).
    #[error("{0}")]
    NotFound(String),
    /// Nothing is left to give (HTTP 500, as Docker answers when a port is taken).
    #[error("{0}")]
    Unavailable(String),
    /// The kernel refused.
    #[error("{what}: {source}")]
    Kernel {
        /// What was tried, on what.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

/// Adds the action to a result of the kernel.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Kernel {
            what: what(),
            source: error.into(),
        })
    }
}
