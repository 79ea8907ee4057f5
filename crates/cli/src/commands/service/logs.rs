//! `ros service logs` (E1-024).

use std::io::Write;

use coracle_services::{Engines, Project};
use futures_util::TryStreamExt as _;

use super::{chosen, project};
use crate::Error;
use crate::context::{Context, block_on};

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// How many lines of each service to begin with
    #[arg(long, default_value_t = 100, value_name = "N")]
    lines: u32,
    /// Go on with what the services write from now on
    #[arg(short, long)]
    follow: bool,
    /// Services; all when none is named
    names: Vec<String>,
}

impl Logs {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let project = project(context, &self.names)?;
        let out = &mut *context.out;
        block_on(show(
            &context.engines,
            &project,
            &self.names,
            self.lines,
            self.follow,
            out,
        ))
    }
}

/// Prints lines as `NAME | LINE`, names of equal width.
pub(super) async fn show(
    engines: &Engines,
    project: &Project,
    names: &[String],
    lines: u32,
    follow: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let width = chosen(project, names)
        .map(|s| s.name.len())
        .max()
        .unwrap_or(0);
    let mut log = coracle_services::logs(engines, project, names, lines, follow).await?;
    while let Some(line) = log.try_next().await? {
        write!(out, "{:width$} | ", line.service)?;
        out.write_all(&line.line)?;
        out.write_all(b"\n")?;
        if follow {
            out.flush()?;
        }
    }
    Ok(())
}
