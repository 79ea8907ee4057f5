//! `ros config export` (B9-004, B1-021, B1-022).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use coracle_config::{Layer, combine, paths, tree, yaml};
use serde_json::Value;

use crate::Error;
use crate::context::Context;

/// Left out unless asked for.
const PRIVATE: [&str; 5] = [
    "rancher.ssh",
    "rancher.docker.ca_key",
    "rancher.docker.ca_cert",
    "rancher.docker.server_key",
    "rancher.docker.server_cert",
];

/// Never given away.
const SECRET: [&str; 3] = [
    "rancher.password",
    "rancher.autologin",
    "rancher.environment.EXTRA_CMDLINE",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Include the defaults
    #[arg(short, long)]
    full: bool,
    /// Include private keys
    #[arg(short, long)]
    private: bool,
    /// Write to FILE, readable for root only
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let mut config = match self.full {
            true => coracle_config::load(&context.root).tree,
            false => user_layers(context)?,
        };
        for key in SECRET {
            tree::remove(&mut config, key);
        }
        if !self.private {
            for key in PRIVATE {
                tree::remove(&mut config, key);
            }
        }
        let text = yaml::emit(&config)?;
        let Some(file) = self.output else {
            return Ok(context.out.write_all(text.as_bytes())?);
        };
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o400);
        let written = options
            .open(&file)
            .and_then(|mut f| f.write_all(text.as_bytes()));
        written.map_err(Error::file("write", &file))
    }
}

/// What the user and cloud-init said, without what the system brings.
fn user_layers(context: &Context<'_>) -> Result<Value, Error> {
    let directory = context.path(paths::CLOUD_CONFIG_DIR);
    let mut files: Vec<PathBuf> = match fs::read_dir(&directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_file() && !name.starts_with('.') && !name.ends_with('~')
    });
    files.sort();
    files.push(context.path(paths::CLOUD_CONFIG));
    let mut layers = Vec::new();
    for file in files.into_iter().filter(|file| file.exists()) {
        let text = fs::read_to_string(&file).map_err(Error::file("read", &file))?;
        layers.push(Layer::from_yaml(&file.to_string_lossy(), &text).0);
    }
    Ok(combine(layers))
}
