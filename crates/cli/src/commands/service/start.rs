//! `ros service start` (E1-019).

use super::logs::show;
use super::project;
use super::report::Report;
use crate::Error;
use crate::context::{Context, block_on};

#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Show the services' output until interrupted; they run on
    #[arg(long)]
    foreground: bool,
    /// Services; all when none is named
    names: Vec<String>,
}

impl Start {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let project = project(context, &self.names)?;
        let engines = context.engines.clone();
        block_on(async {
            let report = Report::on(context);
            coracle_services::start(&engines, &project, &self.names, &report).await?;
            let result = report.result();
            if self.foreground {
                show(&engines, &project, &self.names, 100, true, context.out).await?;
            }
            result
        })
    }
}
