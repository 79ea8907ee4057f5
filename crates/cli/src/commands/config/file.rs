//! The file that `ros config` writes: `/var/lib/rancher/conf/cloud-config.yml` (B1-012).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use coracle_config::{Layer, paths, yaml};
use serde_json::{Map, Value};

use crate::Error;
use crate::context::Context;

/// The user's configuration, to be changed and stored.
pub(crate) struct UserConfig {
    path: PathBuf,
    /// As it is in the file.
    pub tree: Value,
}

impl UserConfig {
    /// Reads it. A file that is not YAML is an error: storing would lose what is in it.
    pub(crate) fn read(context: &Context<'_>) -> Result<Self, Error> {
        let path = context.path(paths::CLOUD_CONFIG);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::file("read", &path)(e)),
        };
        let mut tree = yaml::parse(&path.to_string_lossy(), &text)?.tree;
        if tree.is_null() {
            tree = Value::Object(Map::new());
        }
        if !tree.is_object() {
            let text = format!("{} is not a map of keys; repair it first", path.display());
            return Err(Error::Refused(text));
        }
        Ok(Self { path, tree })
    }

    /// Replaces the file, for root's eyes only (B1-023). Values of the wrong type are refused and nothing is written.
    pub(crate) fn store(&self) -> Result<(), Error> {
        let text = yaml::emit(&self.tree)?;
        let (_, problems) = Layer::from_yaml("new configuration", &text);
        if let Some(problem) = problems.into_iter().next() {
            return Err(Error::Config(problem));
        }
        let temporary = self.path.with_extension("yml.tmp");
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let mut make = fs::DirBuilder::new();
        make.recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(Error::file("write", directory))?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
            })
            .map_err(Error::file("write", &temporary))?;
        fs::rename(&temporary, &self.path).map_err(Error::file("write", &self.path))?;
        // The rename itself survives a power cut only when the directory is on the disk.
        fs::File::open(directory)
            .and_then(|d| d.sync_all())
            .map_err(Error::file("write", directory))
    }
}

/// The text of a file, or of standard input; and what to call it in messages.
pub(super) fn input(
    context: &mut Context<'_>,
    file: Option<&Path>,
) -> Result<(String, String), Error> {
    match file {
        Some(path) if path.as_os_str() != "-" => {
            let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
            Ok((path.display().to_string(), text))
        }
        _ => {
            let mut text = String::new();
            context.input.read_to_string(&mut text)?;
            Ok(("standard input".into(), text))
        }
    }
}
