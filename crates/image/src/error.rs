//! What can go wrong, in Docker's words where clients read them.

use std::io;
use std::path::PathBuf;

/// Errors of the image store. The status that the API answers with: [`Error::status`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no image reference; the message is complete.
    #[error("{0}")]
    InvalidReference(String),
    /// No image has this name or id.
    #[error("No such image: {0}")]
    NotFound(String),
    /// No image has this tag or digest; what `docker save` says then.
    #[error("reference does not exist")]
    NoSuchReference,
    /// A short id fits several images.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// Docker's conflicts of `docker rmi`, and the refusal to delete bundled images; the text is complete.
    #[error("conflict: {0}")]
    Conflict(String),
    /// An archive is not an image archive, or is damaged.
    #[error("{0}")]
    Archive(String),
    /// A file of the store could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the store holds something else than expected.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

impl From<crate::manifest::Invalid> for Error {
    fn from(error: crate::manifest::Invalid) -> Self {
        Self::Archive(error.to_string())
    }
}

impl Error {
    /// The HTTP status that the Docker API gives for it.
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidReference(_) | Self::Ambiguous(_) => 400,
            Self::NotFound(_) | Self::NoSuchReference => 404,
            Self::Conflict(_) => 409,
            Self::Archive(_) | Self::Io { .. } | Self::Malformed { .. } => 500,
        }
    }

    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}
