//! Packages: looked up and fetched per suite, each read into a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use coracle_toolbox::{Archive, Package, Suite};

use super::tree::Tree;

/// The archives in use, and what was taken from them.
#[derive(Debug)]
pub struct Packages {
    archives: BTreeMap<Suite, Archive>,
    known: BTreeMap<(Suite, String), Package>,
}

impl Packages {
    /// Opens the archives of the suites, looks up and downloads all `names`.
    pub fn fetch(
        cache: &Path,
        refresh: bool,
        names: &BTreeSet<(Suite, String)>,
    ) -> anyhow::Result<Self> {
        let mut archives = BTreeMap::new();
        let mut known = BTreeMap::new();
        let suites: BTreeSet<Suite> = names.iter().map(|(suite, _)| *suite).collect();
        for suite in suites {
            let archive = Archive::open(cache, suite, refresh)?;
            let wanted: Vec<&str> = names
                .iter()
                .filter(|(of, _)| *of == suite)
                .map(|(_, name)| name.as_str())
                .collect();
            let packages = archive.packages(&wanted)?;
            archive.fetch(&packages)?;
            known.extend(
                packages
                    .into_iter()
                    .map(|package| ((suite, package.name.clone()), package)),
            );
            archives.insert(suite, archive);
        }
        Ok(Self { archives, known })
    }

    /// What the suite's list says about a package that was fetched.
    pub fn get(&self, suite: Suite, name: &str) -> anyhow::Result<&Package> {
        let package = self.known.get(&(suite, name.to_owned()));
        package.with_context(|| format!("package {name} of {} was not fetched", suite.name()))
    }

    /// The named ones, by suite and name.
    pub fn of(&self, names: &BTreeSet<(Suite, String)>) -> anyhow::Result<Vec<&Package>> {
        names
            .iter()
            .map(|(suite, name)| self.get(*suite, name))
            .collect()
    }

    /// The archive of a suite.
    pub fn archive(&self, suite: Suite) -> anyhow::Result<&Archive> {
        self.archives
            .get(&suite)
            .with_context(|| format!("suite {} is not in use", suite.name()))
    }

    /// Reads a package's files.
    pub fn tree(&self, package: &Package) -> anyhow::Result<Tree> {
        let path = self.archive(package.suite)?.path(package);
        let output = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(&path)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run dpkg-deb; install dpkg")?;
        if !output.status.success() {
            bail!(
                "dpkg-deb cannot read {} ({}); delete the file and build again",
                path.display(),
                output.status
            );
        }
        Tree::read_package_tar(&output.stdout[..])
            .with_context(|| format!("cannot read {}", path.display()))
    }
}
