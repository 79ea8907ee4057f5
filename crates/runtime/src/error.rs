//! What can go wrong on PID 1's side and in the tables.

use std::io;
use std::path::PathBuf;

/// Errors of this crate; a container that could not be started is a [`crate::Failure`] instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, socket or directory could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `connect to`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the runtime's state directory or a bundle holds something else than expected.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `CapAdd`/`CapDrop` names no capability.
    #[error("unknown capability: \"{0}\"")]
    UnknownCapability(String),
    /// A seccomp profile cannot be used.
    #[error("seccomp profile: {0}")]
    Seccomp(String),
    /// A device rule of a `--device` or `--device-cgroup-rule` cannot be used.
    #[error("{0}")]
    Device(String),
    /// The kernel refused the device filter.
    #[error("cannot install the device filter on {}: {source}", path.display())]
    DeviceFilter {
        /// Directory of the control group.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
