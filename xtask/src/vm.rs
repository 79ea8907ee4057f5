//! `cargo xtask vm`: runs the built image, or another one, in QEMU.

mod console;
mod list;
mod run;
mod screenshot;
mod ssh;
mod start;
mod stop;

use std::fmt::Display;
use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use coracle_testkit::{Project, StateDir};

/// Options of `cargo xtask vm`.
#[derive(Debug, Args)]
pub struct Vm {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a machine and attach this terminal to its serial console; Ctrl-] leaves the console.
    Run(run::Run),
    /// Start a machine in the background.
    Start(start::Start),
    /// Log in, or run a command, over SSH.
    Ssh(ssh::Ssh),
    /// Attach this terminal to the serial console; Ctrl-] leaves it.
    Console(console::Console),
    /// Press the power button, and pull the plug when that does not help.
    Stop(stop::Stop),
    /// Show the running machines and their ports.
    List(list::List),
    /// Write what the screen shows as PNG.
    Screenshot(screenshot::Screenshot),
}

impl Vm {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(command) => command.run(),
            Command::Start(command) => command.run(),
            Command::Ssh(command) => command.run(),
            Command::Console(command) => command.run(),
            Command::Stop(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Screenshot(command) => command.run(),
        }
    }
}

/// Writes a line to standard output. What it tells has been done, so it is no failure that nobody reads any more (`vm stop | true`).
fn tell(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Which machine a command is about.
#[derive(Debug, Args)]
struct Name {
    /// Name of the machine; its files are in `.cache/vm/NAME/`.
    #[arg(long, default_value = "default")]
    name: String,
}

impl Name {
    fn dir(&self) -> coracle_testkit::Result<StateDir> {
        StateDir::named(&Project::here(), &self.name)
    }
}
