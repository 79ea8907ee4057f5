//! `ros service` (E1-012 to E1-026).

mod create;
mod delete;
mod disable;
mod enable;
mod list;
mod logs;
mod ps;
mod pull;
mod report;
mod restart;
mod rm;
mod start;
mod stop;
mod up;

use coracle_services::{Error as ServiceError, Project};

use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the services that can be switched on and off
    List(list::List),
    /// List the services' containers
    Ps(ps::Ps),
    /// Show the output of services
    Logs(logs::Logs),
    /// Create and start services, and what they wait for
    Up(up::Up),
    /// Create the containers of services
    Create(create::Create),
    /// Start the containers of services
    Start(start::Start),
    /// Stop services
    Stop(stop::Stop),
    /// Stop and start services
    Restart(restart::Restart),
    /// Remove the containers of services
    Rm(rm::Rm),
    /// Have services started at boot
    Enable(enable::Enable),
    /// Have services no longer started at boot
    Disable(disable::Disable),
    /// Forget that services were enabled or disabled
    Delete(delete::Delete),
    /// Pull the images of services
    Pull(pull::Pull),
}

impl Command {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        match self {
            Self::List(command) => command.run(context),
            Self::Ps(command) => command.run(context),
            Self::Logs(command) => command.run(context),
            Self::Up(command) => command.run(context),
            Self::Create(command) => command.run(context),
            Self::Start(command) => command.run(context),
            Self::Stop(command) => command.run(context),
            Self::Restart(command) => command.run(context),
            Self::Rm(command) => command.run(context),
            Self::Enable(command) => command.run(context),
            Self::Disable(command) => command.run(context),
            Self::Delete(command) => command.run(context),
            Self::Pull(command) => command.run(context),
        }
    }
}

/// The machine's services. Names that are none of them are refused before anything else happens.
fn project(context: &Context<'_>, names: &[String]) -> Result<Project, Error> {
    let project = coracle_services::load(&context.root);
    match names.iter().find(|name| project.service(name).is_none()) {
        Some(name) => Err(ServiceError::UnknownService { name: name.clone() }.into()),
        None => Ok(project),
    }
}

/// The services meant by `names`: all when there are none.
fn chosen<'a>(
    project: &'a Project,
    names: &'a [String],
) -> impl Iterator<Item = &'a coracle_services::Service> {
    let named = |s: &&coracle_services::Service| {
        names.is_empty() || names.iter().any(|n| *n == s.name || *n == s.container_name)
    };
    project.services.iter().filter(named)
}
