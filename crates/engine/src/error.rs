//! What can go wrong in the engine, in the words that Docker's users know.

use std::fmt::Display;
use std::io;

/// Result of the engine's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the engine; its text is what the client sees (Docker API, `ErrorResponse.message`).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this name, id or id prefix.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// An id prefix fits several containers.
    #[error("Multiple IDs found with provided prefix: {0}")]
    AmbiguousContainer(String),
    /// No image has this name or id.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// No exec instance has this id.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// No volume has this name.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// No network has this name.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// A container needs a network or another container that does not exist; found out when it starts. The text is
    /// complete.
    #[error("{0}")]
    MissingForStart(String),
    /// A path inside a container does not exist.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchPath {
        /// The path that was asked for.
        path: String,
        /// The container's name or id as the client gave it.
        container: String,
    },
    /// The request is wrong in itself.
    #[error("{0}")]
    Invalid(String),
    /// The request does not fit the present state.
    #[error("{0}")]
    Conflict(String),
    /// The request is understood and refused.
    #[error("{0}")]
    Forbidden(String),
    /// The state asked for is the present one (Docker answers 304 without text).
    #[error("not modified")]
    NotModified,
    /// The engine does not do this.
    #[error("{0}")]
    Unsupported(String),
    /// The container's process could not be started.
    #[error("{message}")]
    Start {
        /// Docker's text; its command-line client derives the exit code from it.
        message: String,
        /// 127 not found, 126 not executable, 128 anything else.
        exit_code: i64,
    },
    /// A system call or a file failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// From the image store.
    #[error(transparent)]
    Image(#[from] coracle_image::Error),
    /// From the runtime.
    #[error(transparent)]
    Runtime(#[from] coracle_runtime::Error),
    /// A registry does not have an image, or does not show it; the text is complete.
    #[error("{0}")]
    NotInRegistry(String),
    /// A registry does not take the credentials; the text is complete.
    #[error("{0}")]
    Unauthorized(String),
    /// A registry cannot be reached, or fails; the text is complete.
    #[error("{0}")]
    Registry(String),
    /// Something that should not happen; the text says what.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// An I/O error with the action that failed.
    pub fn io(what: impl Display, source: impl Into<io::Error>) -> Self {
        Self::Io {
            what: what.to_string(),
            source: source.into(),
        }
    }

    /// The container is not running.
    pub fn not_running(id: &str) -> Self {
        Self::Conflict(format!("container {id} is not running"))
    }
}

/// Adds the action to an I/O result: `fs::read(&path).doing(|| format!("read {}", path.display()))`.
pub trait Doing<T> {
    /// Maps the error to [`Error::Io`].
    ///
    /// # Errors
    /// The mapped one.
    fn doing<D: Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing<D: Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::io(what(), error))
    }
}
