//! What the folders of `images/` say: `image.yml` of each image and the defaults of all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use coracle_toolbox::Suite;
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;

use super::stand_in::Answers;

/// `images/defaults.yml`: rules for all layers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Files that no layer keeps unless its own `keep` names them.
    pub drop: Vec<String>,
    /// The layers in build order.
    pub layers: Vec<String>,
}

/// `images/<layer>/image.yml`: one layer, and the image that ends with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Name of the image, for example `coracle/os-console`; the version becomes its tag.
    pub image: String,
    /// Whether it is an archive of its own, for the user to load, and not part of the system.
    #[serde(default)]
    pub optional: bool,
    /// The layers below, lowest first.
    #[serde(default)]
    pub parents: Vec<String>,
    /// Layers that the programs find where they are used, when that is not a container of this image: lowest first.
    #[serde(default)]
    pub runs_in: Vec<String>,
    /// Debian packages per suite. Dependencies are not added: the closure check says when one is missing.
    #[serde(default)]
    pub packages: BTreeMap<String, Vec<PackageEntry>>,
    /// Files of `defaults.yml`'s drop list to keep after all.
    #[serde(default)]
    pub keep: Vec<String>,
    /// More files to drop.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Directories to make, with mode and owner.
    #[serde(default)]
    pub directories: BTreeMap<String, Attributes>,
    /// Mode and owner of files that packages or `files/` bring.
    #[serde(default)]
    pub attributes: BTreeMap<String, Attributes>,
    /// Symbolic links: path → target.
    #[serde(default)]
    pub symlinks: BTreeMap<String, String>,
    /// Files to have elsewhere: path → new path. Comes right after unpacking.
    #[serde(default, rename = "move")]
    pub moves: BTreeMap<String, String>,
    /// Libraries of the packages to replace by stand-ins: path → what its functions return.
    #[serde(default)]
    pub stand_ins: BTreeMap<String, Answers>,
    /// Where to write os-release(5).
    pub os_release: Option<String>,
    /// A busybox binary; a link is made for each applet of it that no package provides.
    pub busybox: Option<String>,
    /// Where to write all of Debian's CA certificates as one file.
    pub ca_bundle: Option<String>,
    /// Where to put the statically linked iptables.
    pub iptables: Option<String>,
    /// How containers of the image are started.
    #[serde(default)]
    pub config: Config,
}

/// A package, whole or only some of its files.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum PackageEntry {
    /// All files that the drop lists leave.
    Whole(String),
    /// `name: [patterns]`
    Parts(BTreeMap<String, Vec<String>>),
}

/// Mode and owner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Octal, as text: `"0755"`.
    pub mode: String,
    /// User id.
    #[serde(default)]
    pub uid: u64,
    /// Group id.
    #[serde(default)]
    pub gid: u64,
}

impl Attributes {
    /// The mode's bits.
    pub fn bits(&self) -> anyhow::Result<u32> {
        u32::from_str_radix(&self.mode, 8)
            .with_context(|| format!("mode {:?} is not octal", self.mode))
    }
}

/// The part of the OCI image configuration that a definition may set (OCI image-spec, config.md).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `Entrypoint`
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// `Cmd`
    #[serde(default)]
    pub cmd: Vec<String>,
    /// `Env`, besides `PATH`
    #[serde(default)]
    pub env: Vec<String>,
    /// `Volumes`
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// A package to unpack: suite, name, patterns (empty: all of it).
pub type Wanted = (Suite, String, Vec<String>);

impl Defaults {
    /// Reads `images/defaults.yml`.
    pub fn read(images: &Path) -> anyhow::Result<Self> {
        read_yaml(&images.join("defaults.yml"))
    }
}

impl Definition {
    /// Reads `images/<layer>/image.yml`.
    pub fn read(images: &Path, layer: &str) -> anyhow::Result<Self> {
        read_yaml(&path(images, layer))
    }

    /// The optional images by name: all folders with an `image.yml` that the list of layers does not name.
    pub fn optional(images: &Path, defaults: &Defaults) -> anyhow::Result<Vec<(String, Self)>> {
        let mut found = Vec::new();
        let list = fs::read_dir(images);
        for entry in list.with_context(|| format!("cannot list {}", images.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if defaults.layers.contains(&name) || !path(images, &name).exists() {
                continue;
            }
            let definition = Self::read(images, &name)?;
            if !definition.optional {
                bail!("images/{name} is not in the list of images/defaults.yml, and not optional");
            }
            found.push((name, definition));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    /// The packages, in the order in which they are laid over each other.
    pub fn wanted(&self) -> anyhow::Result<Vec<Wanted>> {
        let mut wanted = Vec::new();
        for (suite, entries) in &self.packages {
            let suite =
                Suite::from_name(suite).with_context(|| format!("packages: no suite {suite}"))?;
            for entry in entries {
                match entry {
                    PackageEntry::Whole(name) => wanted.push((suite, name.clone(), Vec::new())),
                    PackageEntry::Parts(parts) => {
                        for (name, patterns) in parts {
                            if patterns.is_empty() {
                                bail!(
                                    "package {name}: an empty list of patterns takes nothing; name the package alone to take all"
                                );
                            }
                            wanted.push((suite, name.clone(), patterns.clone()));
                        }
                    }
                }
            }
        }
        Ok(wanted)
    }
}

/// Path of a layer's definition.
pub fn path(images: &Path, layer: &str) -> PathBuf {
    images.join(layer).join("image.yml")
}

/// Reads a YAML file; errors name file and line.
pub fn read_yaml<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is not valid", path.display()))
}

/// Compiles patterns in which `*` stays inside a directory and `**` does not.
pub fn patterns<S: AsRef<str>>(patterns: &[S]) -> anyhow::Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = globset::GlobBuilder::new(pattern.as_ref())
            .literal_separator(true)
            .build();
        set.add(glob.with_context(|| format!("pattern {:?}", pattern.as_ref()))?);
    }
    Ok(set.build()?)
}

/// Whether a single pattern is well-formed; used to name unused patterns one by one.
pub fn pattern(pattern: &str) -> anyhow::Result<globset::GlobMatcher> {
    let glob: Glob = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()?;
    Ok(glob.compile_matcher())
}
