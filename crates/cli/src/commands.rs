//! The commands of `ros`, one file each.

mod boot;
mod completion;
mod config;
mod dev;
mod engine;
mod env;
mod os;
mod service;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::Error;
use crate::context::Context;

/// Manage this machine
#[derive(Debug, Parser)]
#[command(name = "ros", disable_version_flag = true, max_term_width = 100)]
pub(crate) struct Ros {
    /// Print the version
    #[arg(short = 'v', long)]
    version: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how long the boot took, step by step
    Boot(boot::Boot),
    /// Read and change the configuration
    #[command(alias = "c", subcommand)]
    Config(config::Config),
    /// Manage the system's services
    #[command(alias = "s", subcommand)]
    Service(service::Command),
    /// The operating system itself
    #[command(subcommand)]
    Os(os::Os),
    /// Print the device that LABEL=, UUID=, PARTLABEL= or PARTUUID= means
    Dev(dev::Dev),
    /// System Docker itself
    #[command(subcommand)]
    Engine(engine::Engine),
    /// Run a command with the variables of rancher.environment
    Env(env::Env),
    /// Print a completion script
    #[command(hide = true)]
    Completion(completion::Completion),
}

impl Ros {
    /// Runs what was asked for. Only root may ask for more than help, the version and completions.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        if self.version {
            return os::long_version(context);
        }
        let Some(command) = self.command else {
            let help = Self::command().render_help();
            return Ok(write!(context.out, "{help}")?);
        };
        if let Command::Completion(completion) = command {
            return completion.run(context);
        }
        let line: Vec<String> = std::env::args().skip(1).collect();
        Context::need_root(&format!("ros {}", line.join(" ")))?;
        match command {
            Command::Boot(command) => command.run(context),
            Command::Config(command) => command.run(context),
            Command::Service(command) => command.run(context),
            Command::Os(command) => command.run(context),
            Command::Dev(command) => command.run(context),
            Command::Engine(command) => command.run(context),
            Command::Env(command) => command.run(context),
            Command::Completion(command) => command.run(context),
        }
    }
}

#[cfg(test)]
mod tests;
