//! One image of the store.

use std::path::PathBuf;

use crate::config::ImageConfig;
use crate::digest::Digest;

/// An image, with everything that inspecting it and running it needs.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the configuration.
    pub id: Digest,
    /// The parsed configuration.
    pub config: ImageConfig,
    /// Names with tags, in the familiar form (`busybox:latest`), sorted.
    pub tags: Vec<String>,
    /// Names with digests, in the familiar form, sorted.
    pub digests: Vec<String>,
    /// Directories for overlayfs, lowest first.
    pub layers: Vec<PathBuf>,
    /// Size of each layer's files in bytes, lowest first; empty for a bundled image.
    pub layer_sizes: Vec<u64>,
    /// Size of all layers' files in bytes.
    pub size: u64,
    /// Whether it is part of `system.erofs`, and so cannot be deleted.
    pub bundled: bool,
}
