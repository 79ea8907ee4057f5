//! `ros config set` (B9-002).

use coracle_config::{tree, yaml};

use super::UserConfig;
use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Dotted key, such as rancher.ssh.port
    key: String,
    /// Value in YAML: text, 22, true, [a, b]
    #[arg(allow_hyphen_values = true)]
    value: String,
}

impl Set {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        if self.key.split('.').any(str::is_empty) {
            return Err(Error::Refused(format!(
                "'{}' is not a dotted key",
                self.key
            )));
        }
        let mut config = UserConfig::read(context)?;
        tree::set(&mut config.tree, &self.key, yaml::parse_value(&self.value));
        config.store()
    }
}
