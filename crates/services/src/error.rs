//! What can go wrong when services are acted upon.

use std::path::PathBuf;

/// Why an action on a service failed. Wrong definitions are no errors but [`crate::Problem`]s.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine does not answer.
    #[error("{engine} does not answer on {socket}: {why}")]
    Unreachable {
        /// `System Docker` or `User Docker`.
        engine: &'static str,
        /// The socket that was tried.
        socket: PathBuf,
        /// The kernel's answer.
        why: String,
    },
    /// The engine refused.
    #[error("cannot {action} {what}: {why}")]
    Engine {
        /// What was asked for.
        action: &'static str,
        /// Container, image or file.
        what: String,
        /// The engine's own words.
        why: String,
    },
    /// The image of a service is nowhere on the machine.
    #[error(
        "image {image} is not on this machine; load it with `{command} load` or put its tar into {preload}"
    )]
    NoImage {
        /// The image.
        image: String,
        /// The CLI of the engine that misses it.
        command: &'static str,
        /// Where tars are loaded from at boot.
        preload: PathBuf,
    },
    /// A service that others wait for ended with an error.
    #[error("exited with status {status}")]
    Exited {
        /// The exit status of the container.
        status: i64,
    },
    /// The machine's shutdown takes too long.
    #[error("services still run after {} s", limit.as_secs())]
    ShutdownLimit {
        /// The time they had.
        limit: std::time::Duration,
    },
    /// No such service.
    #[error("no service is called {name}; `ros service list -a` names them")]
    UnknownService {
        /// The name asked for.
        name: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A schedule of a container is not one.
    #[error(
        "'{schedule}' is not a schedule ({why}); write five or six cron fields, @hourly, @daily or @every 1h"
    )]
    Schedule {
        /// The label's value.
        schedule: String,
        /// What is wrong with it.
        why: String,
    },
}
