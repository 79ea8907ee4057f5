use std::time::Duration;

use clap::Args;
use coracle_testkit::{Project, StateDir};

use super::Name;

/// Options of `cargo xtask vm stop`.
#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    name: Name,
    /// Stop every machine.
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Seconds until the plug is pulled; 0 pulls it at once.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    limit: u64,
}

impl Stop {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let limit = Duration::from_secs(self.limit);
        let mut dirs = vec![self.name.dir()?];
        if self.all {
            dirs = StateDir::all(&Project::here())?;
            dirs.retain(|dir| dir.running().is_some());
        }
        for dir in dirs {
            let how = if dir.stop(limit)? {
                "powered off"
            } else {
                "ended by force"
            };
            super::tell(format_args!("{}: {how}", dir.name()));
        }
        Ok(())
    }
}
