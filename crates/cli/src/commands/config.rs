//! `ros config` (inventory B.9): the user's part of the configuration is one file, which is replaced as a whole or not at all.

mod export;
mod file;
mod get;
mod merge;
mod set;
mod validate;

pub(crate) use file::UserConfig;

use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Config {
    /// Print a value of the merged configuration
    Get(get::Get),
    /// Set a value
    Set(set::Set),
    /// Lay a cloud-config over the user's configuration
    Merge(merge::Merge),
    /// Print the user's configuration
    Export(export::Export),
    /// Say what is wrong with a cloud-config
    Validate(validate::Validate),
}

impl Config {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        match self {
            Self::Get(command) => command.run(context),
            Self::Set(command) => command.run(context),
            Self::Merge(command) => command.run(context),
            Self::Export(command) => command.run(context),
            Self::Validate(command) => command.run(context),
        }
    }
}
