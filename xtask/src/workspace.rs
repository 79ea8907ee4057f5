//! Where things are in the checkout.

use std::path::PathBuf;

/// The checkout's root.
pub fn root() -> PathBuf {
    // `cargo xtask` is only ever run from its own checkout, so the compile-time path is the right one.
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// Downloads and everything else that can be made again.
pub fn cache() -> PathBuf {
    root().join(".cache")
}

/// What the build is for.
pub fn dist() -> PathBuf {
    root().join("dist")
}
