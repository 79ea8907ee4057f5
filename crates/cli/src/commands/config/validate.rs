//! `ros config validate` (B9-005; upstream's exit status was always 0).

use std::path::PathBuf;

use coracle_config::Layer;

use super::file::input;
use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// Read FILE instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
}

impl Validate {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let (name, text) = input(context, self.input.as_deref())?;
        let (_, problems) = Layer::from_yaml(&name, &text);
        for problem in &problems {
            writeln!(context.out, "{problem}")?;
        }
        match problems.len() {
            0 => Ok(()),
            1 => Err(Error::Refused(format!("{name} has a problem"))),
            n => Err(Error::Refused(format!("{name} has {n} problems"))),
        }
    }
}
