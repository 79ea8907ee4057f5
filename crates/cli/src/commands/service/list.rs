//! `ros service list` (E1-013).

use std::collections::BTreeMap;

use coracle_services::Catalogue;

use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Also list the services that are always there
    #[arg(short, long)]
    all: bool,
}

impl List {
    /// `enabled  NAME` and `disabled NAME`: those that are always there, those of the catalogue, then what else is included.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let config = coracle_config::load(&context.root).config;
        let catalogue = match Catalogue::below(&context.root).index() {
            Ok(index) => index.services,
            Err(problem) => {
                writeln!(context.err, "{problem}")?;
                Vec::new()
            }
        };
        let always: Vec<String> = match self.all {
            true => config.rancher.services.keys().cloned().collect(),
            false => Vec::new(),
        };
        let text = lines(&always, &catalogue, &config.rancher.services_include);
        Ok(context.out.write_all(text.as_bytes())?)
    }
}

fn lines(always: &[String], catalogue: &[String], included: &BTreeMap<String, bool>) -> String {
    let line = |on: bool, name: &String| match on {
        true => format!("enabled  {name}\n"),
        false => format!("disabled {name}\n"),
    };
    let on = |name: &String| included.get(name).copied().unwrap_or(false);
    let always = always.iter().map(|name| line(true, name));
    let offered = catalogue.iter().map(|name| line(on(name), name));
    let others = included
        .iter()
        .filter(|(name, _)| !catalogue.contains(name))
        .map(|(name, on)| line(*on, name));
    always.chain(offered).chain(others).collect()
}
