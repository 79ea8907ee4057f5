//! `cargo xtask vm`: runs the built image in QEMU.

use clap::Args;

/// Options of `cargo xtask vm`.
#[derive(Debug, Args)]
pub struct Vm {}

impl Vm {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("the VM runner is not in this checkout yet")
    }
}
