//! `ros service up` (E1-017).

use coracle_services::{Options, Recreate};

use super::logs::show;
use super::project;
use super::report::Report;
use crate::Error;
use crate::context::{Context, block_on};

/// Whether containers that exist are replaced; shared by `up` and `create`.
#[derive(Debug, clap::Args)]
pub(super) struct Replace {
    /// Replace containers even when nothing changed
    #[arg(long, conflicts_with = "no_recreate")]
    force_recreate: bool,
    /// Keep containers even when something changed
    #[arg(long)]
    no_recreate: bool,
}

impl Replace {
    pub(super) fn recreate(&self) -> Recreate {
        match (self.force_recreate, self.no_recreate) {
            (true, _) => Recreate::Always,
            (_, true) => Recreate::Never,
            _ => Recreate::WhenChanged,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Show the services' output until interrupted; they run on
    #[arg(long)]
    foreground: bool,
    /// Accepted, as by compose: services always run in the background
    #[arg(short, long, hide = true)]
    detach: bool,
    #[command(flatten)]
    replace: Replace,
    /// Services; all when none is named
    names: Vec<String>,
}

impl Up {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let project = project(context, &self.names)?;
        let options = Options {
            names: self.names.clone(),
            recreate: self.replace.recreate(),
            create_only: false,
        };
        let engines = context.engines.clone();
        block_on(async {
            let report = Report::on(context);
            coracle_services::up(&engines, project.clone(), &options, &report).await?;
            let result = report.result();
            if self.foreground && !self.detach {
                show(&engines, &project, &self.names, 100, true, context.out).await?;
            }
            result
        })
    }
}
