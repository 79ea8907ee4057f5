//! `ros service pull` (E1-022).

use super::{chosen, project};
use crate::Error;
use crate::context::{Context, block_on};

#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// Go on with the other images when one cannot be pulled
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Services; all when none is named
    names: Vec<String>,
}

impl Pull {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let project = project(context, &self.names)?;
        let mut done: Vec<(&str, coracle_services::Scope)> = Vec::new();
        let mut failed = false;
        for service in chosen(&project, &self.names) {
            let image = (service.image.as_str(), service.steering.scope);
            if done.contains(&image) {
                continue;
            }
            done.push(image);
            let pulled = block_on(async {
                let engine = context.engines.for_scope(image.1).await?;
                Ok(coracle_services::pull(engine, image.0).await?)
            });
            match pulled {
                Ok(()) => writeln!(context.out, "{}: pulled", image.0)?,
                Err(error) if self.ignore_pull_failures => {
                    writeln!(context.err, "{error}")?;
                }
                Err(error) => {
                    writeln!(context.err, "{error}")?;
                    failed = true;
                    break;
                }
            }
        }
        match failed {
            true => Err(Error::Reported),
            false => Ok(()),
        }
    }
}
