//! `ros service stop` (E1-020).

use std::time::Duration;

use super::project;
use super::report::Report;
use crate::Error;
use crate::context::{Context, block_on};

#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// Seconds until a container that does not stop is killed
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS")]
    timeout: u64,
    /// Services; all when none is named
    names: Vec<String>,
}

impl Stop {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let project = project(context, &self.names)?;
        let engines = context.engines.clone();
        let timeout = Duration::from_secs(self.timeout);
        let report = Report::on(context);
        block_on(async {
            coracle_services::stop(&engines, &project, &self.names, timeout, &report).await?;
            Ok(())
        })?;
        report.result()
    }
}
