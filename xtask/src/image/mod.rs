//! `cargo xtask image`: Debian packages and our binary in, `dist/` out.

use clap::Args;

/// Options of `cargo xtask image`.
#[derive(Debug, Args)]
pub struct Image {}

impl Image {
    /// Builds the image.
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("the image builder is not in this checkout yet")
    }
}
