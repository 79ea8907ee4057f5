use clap::Args;

use super::{console, start};

/// Options of `cargo xtask vm run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    machine: start::Machine,
}

impl Run {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let dir = self.machine.name.dir()?;
        if dir.running().is_some() {
            super::tell(format_args!(
                "{} is running already; its console follows, Enter shows the prompt",
                dir.name()
            ));
            return console::attach(&dir, dir.serial()?);
        }
        let paused = self.machine.load()?;
        let serial = paused.serial()?;
        let dir = paused.power_on_and_leave()?;
        start::print_machine(&dir);
        console::attach(&dir, serial)
    }
}
