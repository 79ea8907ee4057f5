//! Developer commands: `cargo xtask image`, `cargo xtask vm`, …
//!
//! One module per command; each holds a clap type with a `run` method.

mod image;
mod toolbox;
mod vm;
mod workspace;

use clap::{Parser, Subcommand};

/// Builds and runs Coracle.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, arg_required_else_help = true)]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build kernel, initrd, system image and ISO into `dist/`.
    Image(image::Image),
    /// Run a tool of the toolbox, for example `dump.erofs`.
    Toolbox(toolbox::Toolbox),
    /// Run the built image in QEMU.
    Vm(vm::Vm),
}

fn main() -> anyhow::Result<()> {
    match Xtask::parse().command {
        Command::Image(command) => command.run(),
        Command::Toolbox(command) => command.run(),
        Command::Vm(command) => command.run(),
    }
}
