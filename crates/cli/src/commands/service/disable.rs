//! `ros service disable` (E1-015).

use coracle_config::tree;
use serde_json::Value;

use crate::Error;
use crate::commands::config::UserConfig;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Disable {
    /// Names as `ros service list` shows them
    #[arg(required = true)]
    names: Vec<String>,
}

impl Disable {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let mut config = UserConfig::read(context)?;
        let included = coracle_config::load(&context.root)
            .config
            .rancher
            .services_include;
        for name in &self.names {
            if !included.contains_key(name) {
                return Err(Error::Refused(format!("{name} is not enabled")));
            }
            let key = format!("rancher.services_include.{name}");
            tree::set(&mut config.tree, &key, Value::Bool(false));
        }
        config.store()
    }
}
