//! `ros config merge` (B9-003).

use std::path::PathBuf;

use coracle_config::Layer;
use coracle_config::merge::merge;

use super::UserConfig;
use super::file::input;
use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Merge {
    /// Read FILE instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
}

impl Merge {
    /// All or nothing: with a single mistake nothing is stored.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let (name, text) = input(context, self.input.as_deref())?;
        let (layer, problems) = Layer::from_yaml(&name, &text);
        for problem in &problems {
            writeln!(context.err, "{problem}")?;
        }
        if !problems.is_empty() {
            return Err(Error::Refused(format!("{name} was not merged")));
        }
        let mut config = UserConfig::read(context)?;
        merge(&mut config.tree, layer.tree);
        config.store()
    }
}
