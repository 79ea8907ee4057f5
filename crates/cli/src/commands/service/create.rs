//! `ros service create` (E1-018).

use coracle_services::Options;

use super::project;
use super::report::Report;
use super::up::Replace;
use crate::Error;
use crate::context::{Context, block_on};

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    replace: Replace,
    /// Services; all when none is named
    names: Vec<String>,
}

impl Create {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let project = project(context, &self.names)?;
        let options = Options {
            recreate: self.replace.recreate(),
            names: self.names,
            create_only: true,
        };
        let engines = context.engines.clone();
        let report = Report::on(context);
        block_on(async {
            coracle_services::up(&engines, project, &options, &report).await?;
            Ok(())
        })?;
        report.result()
    }
}
