//! `ros service rm` (E1-021).

use std::io::{BufRead as _, BufReader};

use super::report::Report;
use super::{chosen, project};
use crate::Error;
use crate::context::{Context, block_on};

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Do not ask, and remove running containers too
    #[arg(short, long)]
    force: bool,
    /// Also remove volumes without a name
    #[arg(short)]
    volumes: bool,
    /// Services; all when none is named
    names: Vec<String>,
}

impl Rm {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let project = project(context, &self.names)?;
        let engines = context.engines.clone();
        let mut names: Vec<String> = chosen(&project, &self.names)
            .map(|s| s.name.clone())
            .collect();
        if !self.force {
            let stopped = async {
                let mut stopped = Vec::new();
                for row in coracle_services::ps(&engines).await? {
                    let up = row.state.starts_with("Up") || row.state.starts_with("Restarting");
                    if names.contains(&row.service) && !up {
                        stopped.push(row.service);
                    }
                }
                Ok(stopped)
            };
            names = block_on(stopped)?;
            if names.is_empty() {
                return Ok(writeln!(context.out, "no stopped containers")?);
            }
            write!(
                context.out,
                "Remove the containers of {}? [y/N] ",
                names.join(", ")
            )?;
            context.out.flush()?;
            let mut answer = String::new();
            BufReader::new(&mut *context.input).read_line(&mut answer)?;
            if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
                return Ok(());
            }
        }
        let report = Report::on(context);
        block_on(async {
            coracle_services::remove(&engines, &project, &names, self.volumes, &report).await?;
            Ok(())
        })?;
        report.result()
    }
}
