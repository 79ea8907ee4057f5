//! `cargo xtask toolbox`: runs one of the unpacked tools by hand.

use std::os::unix::process::CommandExt;

use anyhow::Context;
use clap::Args;

use crate::workspace;

/// Options of `cargo xtask toolbox`.
#[derive(Debug, Args)]
pub struct Toolbox {
    /// Program of the toolbox, for example `dump.erofs`.
    program: String,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Toolbox {
    /// Replaces this process by the tool.
    pub fn run(self) -> anyhow::Result<()> {
        let toolbox = coracle_toolbox::Toolbox::open(&workspace::cache())?;
        let error = toolbox.command(&self.program)?.args(self.arguments).exec();
        Err(error).with_context(|| format!("cannot start {}", self.program))
    }
}
