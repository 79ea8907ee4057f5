//! Why a container or an exec did not start, in Docker's words.

use std::path::Path;

use serde::{Deserialize, Serialize};

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
        let _ = log;
        unimplemented!()
    }
}
