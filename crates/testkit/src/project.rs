use std::path::{Path, PathBuf};

use coracle_toolbox::Toolbox;

use crate::{Error, Result};

/// A checkout of Coracle: where the built files, the tools and the machines' state are.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The checkout that this crate was compiled in.
    pub fn here() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.ancestors().nth(2).unwrap_or(manifest);
        Self { root: root.into() }
    }

    /// The checkout's root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where downloads, tools and machines are kept.
    pub fn cache(&self) -> PathBuf {
        self.root.join(".cache")
    }

    /// A file that `cargo xtask image` makes, by its name below `dist/`.
    pub fn dist(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join("dist").join(name);
        if path.exists() {
            Ok(path)
        } else {
            Err(Error::NotBuilt(path))
        }
    }

    /// The unpacked Debian tools, fetched on first use.
    pub fn toolbox(&self) -> Result<Toolbox> {
        Ok(Toolbox::open(&self.cache())?)
    }
}
