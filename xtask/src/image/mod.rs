//! `cargo xtask image`: Debian packages and our binary in, `dist/` out.
//!
//! Packages are unpacked, not installed: no maintainer script runs, nothing needs root, and the result depends on nothing but
//! the packages and the folders of `images/`. What the scripts would have done is written down there as files and links, and
//! the closure check finds what the explicit package lists forgot.

mod archive;
mod binary;
mod bundle;
mod closure;
mod cpio;
mod current;
mod definition;
mod digest;
mod erofs;
mod initrd;
mod iptables;
mod iso;
mod kernel;
mod layer;
mod lock;
mod module;
mod packages;
mod sbom;
mod sizes;
mod stand_in;
mod system;
#[cfg(test)]
mod tests;
mod tree;
mod twice;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use coracle_toolbox::{Archive, Suite, Toolbox};

use self::binary::Binaries;
use self::definition::{Defaults, Definition};
use self::erofs::{Packing, Part};
use self::iso::Iso;
use self::kernel::Kernel;
use self::layer::{Layer, Workshop};
use self::packages::Packages;
use self::sizes::Sizes;
use crate::workspace;

/// Options of `cargo xtask image`.
#[derive(Debug, Args)]
pub struct Image {
    /// Fetch the package lists even if they are fresh.
    #[arg(long)]
    refresh: bool,
    /// Accept the packages of this build: write them to images/packages.lock.
    #[arg(long)]
    lock: bool,
    /// Compress less: builds in seconds, for development.
    #[arg(long)]
    quick: bool,
    /// Use this static binary, and coracle-early beside it, instead of building them.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Build once more without anything kept from earlier builds but downloads, and compare: both must be identical.
    #[arg(long)]
    twice: bool,
    /// Where the results go.
    #[arg(long, value_name = "DIR", default_value_os_t = workspace::dist())]
    output: PathBuf,
}

impl Image {
    /// Builds the image.
    pub fn run(mut self) -> anyhow::Result<()> {
        let cache = workspace::cache();
        self.build(&cache)?;
        if !self.twice {
            return Ok(());
        }
        let again = tempfile::Builder::new()
            .prefix("again-")
            .tempdir_in(&cache)
            .context("cannot create a directory for the second build")?;
        let first = std::mem::replace(&mut self.output, again.path().join("dist"));
        self.build(again.path())?;
        twice::compare(&first, &self.output).inspect_err(|_| {
            // To be looked at.
            let _ = again.keep();
        })
    }

    /// Builds it with what `kept` has of earlier builds; downloads are always taken from the checkout's cache.
    fn build(&self, kept: &Path) -> anyhow::Result<()> {
        let root = workspace::root();
        let images = root.join("images");
        let cache = workspace::cache();
        let version = concat!("v", env!("CARGO_PKG_VERSION"));
        fs::create_dir_all(&self.output)
            .with_context(|| format!("cannot create {}", self.output.display()))?;

        let binary = match &self.binary {
            Some(path) => path.clone(),
            None => binary::build(&root)?,
        };
        let binaries = Binaries::read(&binary)?;
        let toolbox = Toolbox::open(&cache)?;
        let _lock = one_at_a_time(&cache)?;

        let defaults = Defaults::read(&images)?;
        let definitions = defaults
            .layers
            .iter()
            .map(|name| Ok((name.clone(), Definition::read(&images, name)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let kernel_package = kernel_package(&cache, &images, self.refresh)?;
        let mut in_system = BTreeSet::from([(Suite::Trixie, kernel_package.clone())]);
        for (name, definition) in &definitions {
            in_system.extend(package_names(name, definition)?);
        }
        let optional = Definition::optional(&images, &defaults)?;
        let mut wanted = in_system.clone();
        for (name, definition) in &optional {
            wanted.extend(package_names(name, definition)?);
        }
        let used = wanted.clone();
        for name in iptables::LIBRARIES {
            wanted.insert((Suite::Trixie, (*name).to_owned()));
        }
        let packages = Packages::fetch(&cache, self.refresh, &wanted)?;

        let everything = lock::render(&packages.of(&wanted)?);
        let inputs = current::inputs(&root, &binaries, &everything, self.quick)?;
        if !self.lock && current::is_current(&self.output, &inputs) {
            let sizes = self.output.join("sizes.txt");
            print!(
                "{}",
                fs::read_to_string(&sizes)
                    .with_context(|| format!("cannot read {}", sizes.display()))?
            );
            return Ok(());
        }
        current::forget(&self.output)?;

        let package = packages.get(Suite::Trixie, &kernel_package)?;
        let kernel = Kernel::build(&images, &kept.join("kernel"), &toolbox, package, || {
            packages.tree(package)
        })?;

        let iptables = iptables::build(&images, &kept.join("iptables"), &packages)?;
        let layer_cache = kept.join("layers");
        let workshop = Workshop {
            images: &images,
            cache: &layer_cache,
            defaults: &defaults,
            packages: &packages,
            version,
            iptables: Some(&iptables),
        };
        let layer = |name: &str, definition: &Definition, done: &[Layer]| {
            let layer = workshop.layer(name, definition, done);
            layer.with_context(|| format!("cannot build layer {name} (images/{name})"))
        };
        let mut layers = Vec::new();
        for (name, definition) in &definitions {
            let layer = layer(name, definition, &layers)?;
            layers.push(layer);
        }

        let mut top = system::top(&images, &binaries.coracle, version)?;
        let definitions: Vec<(Definition, usize)> = definitions
            .into_iter()
            .enumerate()
            .map(|(at, (_, definition))| (definition, at))
            .collect();
        top.overlay("", bundle::images(&definitions, &layers, version)?);
        let maker = erofs::Maker {
            toolbox: &toolbox,
            cache: &kept.join("erofs"),
            packing: if self.quick {
                Packing::QUICK
            } else {
                Packing::SMALL
            },
        };
        let mut parts = vec![
            Part {
                name: "drivers".into(),
                key: format!("drivers {}", kernel.key),
                cold: true,
                tree: Box::new(|| system::drivers(&kernel)),
            },
            Part {
                name: "other modules".into(),
                key: format!("modules {}", kernel.key),
                cold: false,
                tree: Box::new(|| system::modules(&kernel)),
            },
        ];
        // The largest take longest and change least.
        let mut by_size: Vec<&Layer> = layers.iter().collect();
        by_size.sort_by_key(|layer| Reverse(layer.tree.size()));
        parts.extend(by_size.into_iter().map(|layer| Part {
            name: format!("layer {}", layer.name),
            key: format!("{} {}", layer.name, layer.key),
            cold: false,
            tree: Box::new(|| bundle::layer(layer)),
        }));
        parts.push(Part {
            name: "coracle".into(),
            key: top.digest()?,
            cold: false,
            tree: Box::new(|| top.clone()),
        });
        let system = self.output.join("system.erofs");
        let made = maker.write(&parts, &system)?;
        let uuid = made.uuid;

        let busybox = layers
            .iter()
            .find_map(|layer| layer.tree.content("usr/bin/busybox"));
        let busybox =
            busybox.context("no layer has usr/bin/busybox, which the initrd needs too")?;
        let initrd = initrd::tree(&binaries.early, busybox, &kernel, &uuid)?;
        write(&self.output.join("initrd"), &initrd::pack(&initrd)?)?;
        write(&self.output.join("vmlinuz"), &kernel.vmlinuz)?;
        let iso = Iso {
            toolbox: &toolbox,
            definition: &images.join("iso"),
            dist: &self.output,
            uuid: &uuid,
            version,
        };
        iso.write(&self.output.join("coracle.iso"))?;

        let list = lock::render(&packages.of(&used)?);
        self.record_packages(&images.join("packages.lock"), &list)?;
        let parts_of_optional = optional
            .iter()
            .map(|(name, definition)| {
                Ok(sbom::Optional {
                    image: &definition.image,
                    packages: packages.of(&package_names(name, definition)?)?,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let in_system = packages.of(&in_system)?;
        let sbom = sbom::render(&root, &in_system, &parts_of_optional, version, &uuid)?;
        write(&self.output.join("sbom.spdx.json"), &sbom)?;

        let mut sizes = Sizes {
            quick: self.quick,
            ..Sizes::default()
        };
        let packed = kernel.vmlinuz.len() as u64;
        sizes.add("vmlinuz", "kernel", packed, packed);
        for (name, tree) in initrd::parts(&initrd) {
            sizes.add(
                "initrd",
                name,
                tree.size(),
                initrd::pack(&tree)?.len() as u64,
            );
        }
        for (part, (name, growth)) in parts.iter().zip(made.growth) {
            sizes.add("system.erofs", name, (part.tree)().size(), growth);
        }
        for (name, definition) in &optional {
            let layer = layer(name, definition, &layers)?;
            let image = archive::Image {
                name,
                definition,
                stack: bundle::stack(definition, &layers, &layer),
                version,
            };
            let packed = self.write_optional(&image, &kept.join("archives"))?;
            sizes.add_optional(name, image.size(), packed);
        }
        write(&self.output.join("sizes.txt"), sizes.text().as_bytes())?;
        write(&self.output.join("sizes.md"), sizes.markdown().as_bytes())?;
        current::note(&self.output, &inputs)?;
        print!("{}", sizes.text());
        Ok(())
    }
}

impl Image {
    /// Writes `images/<name>.tar` and gives its size.
    fn write_optional(&self, image: &archive::Image<'_>, cache: &Path) -> anyhow::Result<u64> {
        let level = if self.quick {
            archive::QUICK
        } else {
            archive::SMALL
        };
        let archive = image.archive(cache, level)?;
        let directory = self.output.join("images");
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let content =
            fs::read(&archive).with_context(|| format!("cannot read {}", archive.display()))?;
        write(&directory.join(format!("{}.tar", image.name)), &content)?;
        Ok(content.len() as u64)
    }

    /// Writes the list of packages, and says how it differs from the one in the checkout.
    fn record_packages(&self, locked: &Path, list: &str) -> anyhow::Result<()> {
        write(&self.output.join("packages.lock"), list.as_bytes())?;
        if self.lock {
            return write(locked, list.as_bytes());
        }
        let before = fs::read_to_string(locked).unwrap_or_default();
        let difference = lock::difference(&before, list);
        if !difference.is_empty() {
            eprint!(
                "packages differ from images/packages.lock (--lock accepts them):\n{difference}"
            );
        }
        Ok(())
    }
}

/// Waits until no other build uses the caches; the lock lasts as long as the file.
fn one_at_a_time(cache: &Path) -> anyhow::Result<File> {
    let path = cache.join("image.lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    if let Err(TryLockError::WouldBlock) = lock.try_lock() {
        eprintln!("waiting for another build of the image to end");
        lock.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(lock)
}

/// The packages of a definition.
fn package_names(name: &str, definition: &Definition) -> anyhow::Result<BTreeSet<(Suite, String)>> {
    let wanted = definition
        .wanted()
        .with_context(|| format!("images/{name}/image.yml"))?;
    Ok(wanted
        .into_iter()
        .map(|(suite, name, _)| (suite, name))
        .collect())
}

/// Name of the newest kernel's own package: what Debian's metapackage depends on.
fn kernel_package(cache: &Path, images: &Path, refresh: bool) -> anyhow::Result<String> {
    let path = images.join("kernel/modules.yml");
    let selection: kernel::Selection = definition::read_yaml(&path)?;
    let archive = Archive::open(cache, Suite::Trixie, refresh)?;
    let packages = archive.packages(&[&selection.package])?;
    let name = packages
        .iter()
        .flat_map(|package| &package.depends)
        .find(|name| name.starts_with("linux-image-"));
    name.cloned().with_context(|| {
        format!(
            "{}: package {} depends on no linux-image-*",
            path.display(),
            selection.package
        )
    })
}

/// Writes a result whole or not at all.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, content).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot move {}", part.display()))
}
