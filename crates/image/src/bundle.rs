//! The images bundled in `system.erofs`: `lib/coracle/images/index.json`, written by the image builder.

pub mod layer;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The file's name in the bundled images' directory.
pub const INDEX_FILE: &str = "index.json";

/// The configuration of a bundled image below `root`, which is `/usr/lib/coracle`.
pub fn config(root: &Path, id: &Digest) -> PathBuf {
    root.join("images").join(format!("{}.json", id.hex()))
}

/// `lib/coracle/images/index.json`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The images, in no particular order.
    pub images: Vec<Entry>,
}

/// One bundled image.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Names with tags, in the familiar form: `coracle/os-console:v0.1.0`.
    pub names: Vec<String>,
    /// Digest of the configuration's bytes.
    pub id: Digest,
    /// File name of the configuration, `<hex>.json`, beside the index.
    pub config: String,
    /// Names of the directories under `lib/coracle/layers`, lowest first; as many as the configuration has `diff_ids`.
    pub layers: Vec<String>,
    /// Bytes of the files in the layers, as `docker images` shows it.
    #[serde(default)]
    pub size: u64,
}
