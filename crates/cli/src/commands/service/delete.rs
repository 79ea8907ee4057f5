//! `ros service delete` (E1-016).

use coracle_config::tree;

use crate::Error;
use crate::commands::config::UserConfig;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// Names as `ros service list` shows them
    #[arg(required = true)]
    names: Vec<String>,
}

impl Delete {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let mut config = UserConfig::read(context)?;
        for name in &self.names {
            let key = format!("rancher.services_include.{name}");
            if tree::remove(&mut config.tree, &key).is_none() {
                let text = format!("{name} was neither enabled nor disabled by the user");
                return Err(Error::Refused(text));
            }
        }
        config.store()
    }
}
