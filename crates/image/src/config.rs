//! The image configuration: OCI's (image-spec config.md) with Docker's additions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;

/// An image's configuration. Fields that neither OCI nor Docker defines are kept in the stored bytes, not here.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ImageConfig {
    /// Go's name of the processor architecture: `amd64`.
    pub architecture: String,
    /// Variant of the architecture: `v8`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Operating system: `linux`.
    pub os: String,
    /// RFC 3339 time of creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What a container of this image runs as.
    #[serde(deserialize_with = "null_as_default")]
    pub config: ContainerDefaults,
    /// The layers.
    pub rootfs: RootFs,
    /// How the layers came to be, oldest first.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub history: Vec<History>,
    /// Version of the engine that made it (Docker).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
}

/// Defaults for containers of an image; the names are those of the JSON.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerDefaults {
    /// User and group: `uid`, `user`, `uid:gid`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports as `80/tcp`; the values are empty objects.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub exposed_ports: BTreeMap<String, Value>,
    /// Environment as `NAME=value`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub env: Vec<String>,
    /// Entry point; the container's arguments follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments, or command when there is no entry point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories that get anonymous volumes; the values are empty objects.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub volumes: BTreeMap<String, Value>,
    /// Working directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub labels: BTreeMap<String, String>,
    /// Signal that stops a container: `SIGTERM`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Health check (Docker), as the API takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Value>,
    /// Shell of `RUN` lines (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Triggers of child images (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
}

/// The layers of an image.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layer archives, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct History {
    /// RFC 3339 time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Command of the step.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Who.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Comment.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Go writes absent maps and lists as `null`.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
