//! Whether what the engine keeps agrees with itself: `coracle engine check`. Nothing is changed.
//!
//! What is looked at: containers with their names, layers, volumes and logs (`containers`), volumes and networks
//! (`stored`), images and layers (`coracle_image::Check`), and what runs or is mounted (`leftovers`). Addresses of containers are not
//! kept on disk; an interface without a container is where a lost one would show.

mod containers;
mod leftovers;
mod stored;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

pub use coracle_image::Finding;

use crate::disk::UNFINISHED;
use crate::lock::RootLock;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Check {
    /// As [`crate::Options::root`].
    pub root: PathBuf,
    /// As [`crate::Options::exec_root`].
    pub exec_root: PathBuf,
    /// As [`crate::Options::bundled`].
    pub bundled: Option<PathBuf>,
    /// As [`crate::Options::cgroup_parent`].
    pub cgroup_parent: String,
    /// Read every layer and compare its digest, too: as slow as the disk.
    pub digests: bool,
}

/// Between two looks at an engine that works.
const PAUSE: Duration = Duration::from_secs(1);
const START: &str = "start the engine, which removes it";

impl Check {
    /// Everything that is wrong, sorted. While an engine works on the directory (told by its lock) what changes just
    /// then may look wrong: only what is wrong twice is given.
    pub fn run(&self) -> Vec<Finding> {
        let running = RootLock::is_taken(&self.root);
        let first = self.look(running);
        if !running || first.is_empty() {
            return first.into_iter().collect();
        }
        sleep(PAUSE);
        // It may have ended or begun meanwhile; then the first look is not comparable.
        let running = RootLock::is_taken(&self.root);
        let second = self.look(running);
        match running {
            true => first.intersection(&second).cloned().collect(),
            false => second.into_iter().collect(),
        }
    }

    fn look(&self, running: bool) -> BTreeSet<Finding> {
        let mut findings = BTreeSet::new();
        if !self.root.is_dir() {
            findings.insert(Finding {
                subject: self.root.display().to_string(),
                problem: "is no directory".to_owned(),
                remedy: "give the engine's directory with --root",
            });
            return findings;
        }
        let containers = containers::read(&self.root, running, &mut findings);
        let layers = containers.iter().flat_map(|container| {
            let mounted = container
                .record
                .mounts
                .iter()
                .filter_map(|m| m.image.as_ref());
            let mounted = mounted.flat_map(|image| &image.layers);
            container.record.layers.iter().chain(mounted).cloned()
        });
        let in_use: BTreeSet<PathBuf> = layers.collect();
        let images = coracle_image::Check {
            bundled: self.bundled.as_deref(),
            root: &self.root,
            in_use: &in_use,
            in_work: running,
            digests: self.digests,
        };
        findings.extend(images.run());
        let volumes = stored::volumes(&self.root.join("volumes"), running, &mut findings);
        containers::check_volumes(&containers, &volumes, &mut findings);
        stored::networks(&self.root.join("networks"), running, &mut findings);
        leftovers::check(self, running, &containers, &mut findings);
        findings
    }
}

fn add(
    findings: &mut BTreeSet<Finding>,
    subject: impl Into<String>,
    problem: impl Into<String>,
    remedy: &'static str,
) {
    findings.insert(Finding {
        subject: subject.into(),
        problem: problem.into(),
        remedy,
    });
}

/// A file or directory that nothing needs any more.
fn left_over(findings: &mut BTreeSet<Finding>, path: &Path) {
    add(findings, path.display().to_string(), "is left over", START);
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Names in a directory; what does not exist has none.
fn names(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

/// Paths in a directory; what does not exist has none.
fn paths(directory: &Path) -> Vec<PathBuf> {
    let named = names(directory).into_iter();
    named.map(|name| directory.join(name)).collect()
}

#[cfg(test)]
mod tests;
