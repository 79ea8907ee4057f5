use clap::Args;
use coracle_testkit::{Project, StateDir};

/// Options of `cargo xtask vm list`.
#[derive(Debug, Args)]
pub struct List {}

impl List {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        super::tell(format_args!("{:<20} {:>8}  PORTS", "NAME", "PID"));
        for dir in StateDir::all(&Project::here())? {
            let Some(pid) = dir.running() else {
                continue;
            };
            let ports: Vec<String> = dir.ports().iter().map(ToString::to_string).collect();
            super::tell(format_args!(
                "{:<20} {pid:>8}  {}",
                dir.name(),
                ports.join(", ")
            ));
        }
        Ok(())
    }
}
