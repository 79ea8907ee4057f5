//! What is kept on disk about a container: its configuration and its state.

use std::path::PathBuf;

use bollard_stubs::models::{ContainerConfig, HostConfig, Mount, NetworkingConfig};
use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::time;

/// The configuration of a container: written when it is created, renamed or updated.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Record {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without the leading slash of the API.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// Digest of the image's configuration: `sha256:…`.
    pub image_id: String,
    /// The image's layers, lowest first: the container outlives its image when that is deleted by force.
    pub layers: Vec<PathBuf>,
    /// The image's and the client's configuration merged (API: `Config`).
    pub config: ContainerConfig,
    /// API: `HostConfig`, with Docker's defaults filled in.
    pub host_config: HostConfig,
    /// What the client asked of networks.
    pub networking: NetworkingConfig,
    /// Volumes and binds, in the order in which they were asked for.
    pub mounts: Vec<MountPoint>,
}

impl Record {
    /// The program and its arguments: entry point, then command.
    pub fn command(&self) -> Vec<String> {
        let entrypoint = self.config.entrypoint.iter().flatten();
        entrypoint
            .chain(self.config.cmd.iter().flatten())
            .cloned()
            .collect()
    }

    /// Whether the process has a terminal.
    pub fn tty(&self) -> bool {
        self.config.tty.unwrap_or(false)
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// API: `NetworkMode`.
    pub fn network_mode(&self) -> &str {
        self.host_config.network_mode.as_deref().unwrap_or("none")
    }
}

/// What kind of thing is mounted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the engine's own root.
    #[default]
    Bind,
    /// A volume.
    Volume,
    /// A fresh tmpfs at each start.
    Tmpfs,
    /// An image's files, read-only.
    Image,
}

impl MountKind {
    /// The `Type` field of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Volume => "volume",
            Self::Tmpfs => "tmpfs",
            Self::Image => "image",
        }
    }
}

/// One mount of a container (API: `Mounts` of inspect).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct MountPoint {
    /// What it is.
    pub kind: MountKind,
    /// The volume's name.
    pub name: Option<String>,
    /// Path of the bind or of the volume's data; empty for a tmpfs.
    pub source: String,
    /// Absolute path in the container.
    pub destination: String,
    /// Whether it may be written.
    pub writable: bool,
    /// `rprivate`, `rshared`, …
    pub propagation: String,
    /// The options of a `-v`, as given.
    pub mode: String,
    /// Mount without what is mounted below the source.
    pub non_recursive: bool,
    /// Make only the top read-only.
    pub read_only_non_recursive: bool,
    /// Make the missing source directory of a bind at each start (`-v` does, `--mount` does not).
    pub create_source: bool,
    /// Do not copy the image's files to the new volume.
    pub no_copy: bool,
    /// The volume was made for this container and goes with it.
    pub anonymous: bool,
    /// Options of a tmpfs.
    pub tmpfs_options: Vec<String>,
    /// Digest and layers of the image that is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<MountedImage>,
    /// Path below the volume's or image's root that is mounted.
    pub subpath: Option<String>,
    /// The entry of `HostConfig.Mounts` that this comes from.
    pub spec: Option<Mount>,
}

/// The image of a mount: the mount outlives its image when that is deleted by force.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct MountedImage {
    /// Digest of its configuration.
    pub id: String,
    /// Its layers, lowest first.
    pub layers: Vec<PathBuf>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started (or its start failed).
    #[default]
    Created,
    /// Its process runs.
    Running,
    /// Its process is frozen.
    Paused,
    /// It has ended and waits for its next start.
    Restarting,
    /// It has ended.
    Exited,
    /// It could not be removed completely.
    Dead,
}

impl Status {
    /// The `Status` field of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether Docker calls it running: also when frozen or between two runs.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// The state of a container: written at each change.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct State {
    /// Where it is in its life.
    pub status: Status,
    /// The first process's id, 0 when there is none.
    pub pid: i32,
    /// When that process started, in clock ticks since the machine did: proves later that it is still the same one.
    pub pid_started: u64,
    /// Of the last run.
    pub exit_code: i64,
    /// Why the last start failed.
    pub error: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// Whether the kernel killed something of the last run for lack of memory.
    pub oom_killed: bool,
    /// Restarts by policy since the last start by a client.
    pub restart_count: u64,
    /// A client has stopped it; `unless-stopped` respects that.
    pub stopped_by_user: bool,
    /// Grows with each start in this engine: containers stop in the reverse order.
    pub start_order: u64,
    /// What its health check has found, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            status: Status::default(),
            pid: 0,
            pid_started: 0,
            exit_code: 0,
            error: String::new(),
            started_at: time::NEVER.into(),
            finished_at: time::NEVER.into(),
            oom_killed: false,
            restart_count: 0,
            stopped_by_user: false,
            start_order: 0,
            health: None,
        }
    }
}
