//! `ros config get` (B9-001).

use coracle_config::{tree, yaml};
use serde_json::Value;

use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// Dotted key, such as rancher.ssh.port
    key: String,
}

impl Get {
    /// A scalar as text, a map or list as YAML, and an empty line for what is not there.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let loaded = coracle_config::load(&context.root);
        let text = match tree::get(&loaded.tree, &self.key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Object(_) | Value::Array(_))) => yaml::emit(value)?,
            Some(scalar) => scalar.to_string(),
        };
        Ok(writeln!(context.out, "{}", text.trim_end())?)
    }
}
