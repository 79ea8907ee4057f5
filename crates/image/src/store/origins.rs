//! What a layer is called in registries, so that it is not sent where it is already.

use std::fs;

use serde::{Deserialize, Serialize};

use super::{Store, lock};
use crate::digest::Digest;
use crate::error::Error;
use crate::files::{Layout, write_atomically};

/// Most blobs that are remembered of a layer; the oldest are forgotten.
const LIMIT: usize = 32;

/// A layer's blob in a registry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Origin {
    /// Repository, in full form: `docker.io/library/busybox`.
    pub repository: String,
    /// Of the blob, compressed as it is there.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

impl Store {
    /// The blobs that a layer is known as, newest first.
    pub fn origins(&self, diff_id: &Digest) -> Vec<Origin> {
        // A help only: what is lost is found out again.
        fs::read(Layout::origins(&self.layout.layer(diff_id)))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Remembers a blob of a layer; of a layer that is not in the writable store nothing is kept.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remember_origin(&self, diff_id: &Digest, origin: Origin) -> Result<(), Error> {
        let _changing = lock(&self.changes);
        let layer = self.layout.layer(diff_id);
        if !layer.exists() {
            return Ok(());
        }
        let mut origins = self.origins(diff_id);
        if origins.first() == Some(&origin) {
            return Ok(());
        }
        origins.retain(|known| *known != origin);
        origins.insert(0, origin);
        origins.truncate(LIMIT);
        // Strings and numbers cannot fail to become JSON.
        let bytes = serde_json::to_vec(&origins).unwrap_or_default();
        write_atomically(&Layout::origins(&layer), &bytes)
    }
}
