//! One layer: packages filtered, files laid over, checked, and cached by the hash of everything that went in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, bail};
use coracle_toolbox::Package;

use super::closure::{self, Stack};
use super::definition::{self, Defaults, Definition};
use super::digest::Digest;
use super::iptables;
use super::packages::Packages;
use super::stand_in;
use super::system;
use super::tree::{Entry, Kind, Tree};

/// Part of every cache key: raise it when the same input shall give another layer.
const FORMAT: &str = "3";

/// A finished layer.
#[derive(Debug)]
pub struct Layer {
    /// Its folder in `images/` and in `system.erofs`.
    pub name: String,
    /// Its files.
    pub tree: Tree,
    /// Digest of its tar, as in OCI's `rootfs.diff_ids`.
    pub diff_id: String,
    /// Hash of what it was made from.
    pub key: String,
}

/// What all layers share.
#[derive(Debug)]
pub struct Workshop<'a> {
    /// The folder `images/`.
    pub images: &'a Path,
    /// The folder for cached layers.
    pub cache: &'a Path,
    /// Rules for all layers.
    pub defaults: &'a Defaults,
    /// The packages.
    pub packages: &'a Packages,
    /// The version of the system that is being built.
    pub version: &'a str,
    /// The statically linked iptables, if a layer asks for it: key and files.
    pub iptables: Option<&'a (String, Tree)>,
}

impl Workshop<'_> {
    /// Takes a layer from the cache or builds it on top of `done`.
    pub fn layer(
        &self,
        name: &str,
        definition: &Definition,
        done: &[Layer],
    ) -> anyhow::Result<Layer> {
        // What the programs of the layer find, lowest first.
        let below = definition
            .runs_in
            .iter()
            .chain(&definition.parents)
            .map(|name| done.iter().find(|layer| layer.name == *name))
            .collect::<Option<Vec<_>>>()
            .with_context(|| {
                format!(
                    "parents {:?} and runs_in {:?} are not all built before it",
                    definition.parents, definition.runs_in
                )
            })?;
        let files = Tree::read_directory(&self.images.join(name).join("files"))?;
        let key = self.key(name, definition, &files, &below)?;
        let tar = self.cache.join(format!("{name}-{key:.16}.tar"));
        if !tar.exists() {
            let tree = self.build(definition, files, &below)?;
            fs::create_dir_all(self.cache)?;
            let part = tar.with_extension("part");
            let mut writer = BufWriter::new(File::create(&part)?);
            tree.write_tar(&mut writer)?;
            writer.flush()?;
            fs::rename(&part, &tar)?;
        }
        let bytes = fs::read(&tar).with_context(|| format!("cannot read {}", tar.display()))?;
        let mut digest = Digest::default();
        digest.write_all(&bytes)?;
        Ok(Layer {
            name: name.to_owned(),
            tree: Tree::read_tar(&bytes[..])?,
            diff_id: digest.hex(),
            key,
        })
    }

    fn key(
        &self,
        name: &str,
        definition: &Definition,
        files: &Tree,
        below: &[&Layer],
    ) -> anyhow::Result<String> {
        let mut digest = Digest::default();
        digest.field(FORMAT).field(self.version);
        for path in [
            definition::path(self.images, name),
            self.images.join("defaults.yml"),
        ] {
            digest
                .field(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        let mut tar = Vec::new();
        files.write_tar(&mut tar)?;
        digest.field(tar);
        for (suite, name, _) in definition.wanted()? {
            digest.field(&self.packages.get(suite, &name)?.sha256);
        }
        for layer in below {
            digest.field(&layer.key);
        }
        if let (Some(_), Some((key, _))) = (&definition.iptables, self.iptables) {
            digest.field(key);
        }
        if !definition.stand_ins.is_empty() {
            digest.field(iptables::compiler()?);
        }
        Ok(digest.hex())
    }

    fn build(
        &self,
        definition: &Definition,
        files: Tree,
        below: &[&Layer],
    ) -> anyhow::Result<Tree> {
        let keep = definition::patterns(&definition.keep)?;
        let drop: Vec<&String> = self.defaults.drop.iter().chain(&definition.drop).collect();
        let drop = definition::patterns(&drop)?;

        let mut tree = Tree::default();
        let mut origin = BTreeMap::new();
        let mut packages = Vec::new();
        let mut authorities = Vec::new();
        for (suite, name, parts) in definition.wanted()? {
            let package = self.packages.get(suite, &name)?;
            let mut files = self.packages.tree(package)?;
            if definition.ca_bundle.is_some() && name == "ca-certificates" {
                authorities = certificates(&files);
            }
            take_parts(&mut files, &parts).with_context(|| format!("package {name}"))?;
            // Parts are chosen by hand; only whole packages are trimmed.
            if parts.is_empty() {
                files.retain(|path, entry| {
                    entry.kind == Kind::Directory || keep.is_match(path) || !drop.is_match(path)
                });
            }
            origin.extend(
                files
                    .iter()
                    .map(|(path, _)| (path.to_owned(), name.clone())),
            );
            tree.overlay("", files);
            packages.push(package);
        }
        for (from, to) in &definition.moves {
            let entry = tree
                .remove(from)
                .with_context(|| format!("move: the packages have no {from}"))?;
            tree.insert(to, entry);
        }
        for (path, answers) in &definition.stand_ins {
            stand_in::replace(&mut tree, path, answers)
                .with_context(|| format!("stand_ins: {path}"))?;
        }
        tree.prune_empty(|path| path.starts_with("usr/"));
        tree.overlay("", files);
        if let Some(path) = &definition.os_release {
            tree.insert(
                path,
                Entry::file(system::os_release(self.version).into_bytes(), 0o644),
            );
        }
        if let Some(path) = &definition.ca_bundle {
            tree.insert(path, Entry::file(bundle(&authorities)?, 0o644));
        }
        if let Some(path) = &definition.iptables {
            let (_, files) = self.iptables.context("the static iptables was not built")?;
            tree.overlay(path, files.clone());
        }
        for (path, attributes) in &definition.directories {
            let mode = attributes
                .bits()
                .with_context(|| format!("directories: {path}"))?;
            tree.insert(
                path,
                Entry {
                    uid: attributes.uid,
                    gid: attributes.gid,
                    ..Entry::directory(mode)
                },
            );
        }
        for (path, target) in &definition.symlinks {
            tree.insert(path, Entry::symlink(target));
        }
        for (path, attributes) in &definition.attributes {
            let entry = tree
                .get_mut(path)
                .with_context(|| format!("attributes: the layer has no {path}"))?;
            entry.mode = attributes
                .bits()
                .with_context(|| format!("attributes: {path}"))?;
            (entry.uid, entry.gid) = (attributes.uid, attributes.gid);
        }
        if let Some(path) = &definition.busybox {
            link_applets(&mut tree, path)?;
        }
        check(&tree, below, &origin, &packages)?;
        Ok(tree)
    }
}

/// Reduces a package to the files that the patterns name. A pattern that names nothing is an error: the package changed.
fn take_parts(files: &mut Tree, parts: &[String]) -> anyhow::Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    for part in parts {
        let matcher = definition::pattern(part)?;
        if !files
            .iter()
            .any(|(path, entry)| entry.kind != Kind::Directory && matcher.is_match(path))
        {
            bail!("it has no file {part}");
        }
    }
    let patterns = definition::patterns(parts)?;
    let wanted: BTreeSet<String> = files
        .iter()
        .filter(|(path, entry)| entry.kind != Kind::Directory && patterns.is_match(path))
        .map(|(path, _)| path.to_owned())
        .collect();
    let is_parent = |path: &str| {
        let prefix = format!("{path}/");
        wanted
            .range(prefix.clone()..)
            .next()
            .is_some_and(|next| next.starts_with(&prefix))
    };
    files.retain(|path, entry| {
        wanted.contains(path) || entry.kind == Kind::Directory && is_parent(path)
    });
    Ok(())
}

/// The certificates that `update-ca-certificates` would put into the bundle.
fn certificates(files: &Tree) -> Vec<Arc<[u8]>> {
    files
        .iter()
        .filter(|(path, _)| {
            path.starts_with("usr/share/ca-certificates/") && path.ends_with(".crt")
        })
        .filter_map(|(path, _)| files.content(path).cloned())
        .collect()
}

fn bundle(authorities: &[Arc<[u8]>]) -> anyhow::Result<Vec<u8>> {
    if authorities.is_empty() {
        bail!("ca_bundle: package ca-certificates is not in this layer's list");
    }
    let mut bundle = Vec::new();
    for certificate in authorities {
        bundle.extend_from_slice(certificate);
        if !certificate.ends_with(b"\n") {
            bundle.push(b'\n');
        }
    }
    Ok(bundle)
}

/// Links every applet of the busybox binary that nothing else in the layer provides.
fn link_applets(tree: &mut Tree, path: &str) -> anyhow::Result<()> {
    let content = tree
        .content(path)
        .with_context(|| format!("busybox: the layer has no file {path}"))?
        .clone();
    for applet in applets(&content)? {
        let applet = applet.strip_prefix("usr/").unwrap_or(&applet).to_owned();
        tree.insert_missing(&format!("usr/{applet}"), Entry::symlink(format!("/{path}")));
    }
    Ok(())
}

/// Asks a busybox binary for its applets, as `bin/ls`, `usr/bin/env` and so on.
pub fn applets(busybox: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(busybox)?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o700))?;
    // A file that is open for writing cannot be executed.
    let program = file.into_temp_path();
    let output = Command::new(&program)
        .arg0("busybox")
        .arg("--list-full")
        .output()
        .context("cannot run busybox to list its applets")?;
    if !output.status.success() {
        bail!("busybox --list-full failed: {}", output.status);
    }
    let list = String::from_utf8(output.stdout)?;
    Ok(list
        .lines()
        .filter(|applet| !applet.ends_with("/busybox"))
        .map(str::to_owned)
        .collect())
}

fn check(
    tree: &Tree,
    below: &[&Layer],
    origin: &BTreeMap<String, String>,
    packages: &[&Package],
) -> anyhow::Result<()> {
    let stack = Stack::new(tree, below.iter().map(|layer| &layer.tree));
    let missing = closure::missing(&stack, tree, origin)?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut text = String::from("files are missing in the layer and those below it:\n");
    for (package, path, what) in &missing {
        text += &format!("  {path} ({package}) needs {what}\n");
    }
    let listed: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let guilty: BTreeSet<&str> = missing
        .iter()
        .map(|(package, _, _)| package.as_str())
        .collect();
    for package in packages
        .iter()
        .filter(|package| guilty.contains(package.name.as_str()))
    {
        let others: Vec<&str> = package
            .depends
            .iter()
            .map(String::as_str)
            .filter(|name| !listed.contains(name))
            .collect();
        text += &format!(
            "  {} depends on {}, which this layer does not list\n",
            package.name,
            others.join(", ")
        );
    }
    bail!("{text}add the packages to the layer's list, or drop the files")
}
