//! Differences that users accept, each with its reason.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// `known-differences.yml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Tests of docker-py that pass on dockerd and fail on System Docker, and why.
    #[serde(default, rename = "docker-py")]
    pub docker_py: BTreeMap<String, String>,
    /// Commands of sessions (`session: command`) that System Docker answers otherwise, and why.
    #[serde(default)]
    pub sessions: BTreeMap<String, String>,
    /// As both, where System Docker has no controllers because the machine's are those of cgroup v1.
    #[serde(default, rename = "cgroup-v1")]
    cgroup_v1: BTreeMap<String, String>,
}

impl Known {
    /// Reads the list.
    ///
    /// # Errors
    /// It cannot be read, or is not YAML of this form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// With what differs without controllers.
    #[must_use]
    pub fn on_cgroup_v1(mut self) -> Self {
        for (name, reason) in std::mem::take(&mut self.cgroup_v1) {
            // Names of tests have no space.
            let list = if name.contains(' ') {
                &mut self.sessions
            } else {
                &mut self.docker_py
            };
            list.insert(name, reason);
        }
        self
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(serde_saphyr::from_str(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_in_the_tree_is_well_formed_and_each_difference_has_a_reason() {
        let known = Known::parse(include_str!("../known-differences.yml")).unwrap();
        let known = known.on_cgroup_v1();
        for (name, reason) in known.docker_py.iter().chain(&known.sessions) {
            assert!(reason.len() > 10, "{name}: {reason:?} is no reason");
        }
    }

    #[test]
    fn what_differs_on_cgroup_v1_counts_there_only() {
        let text =
            "docker-py: {}\ncgroup-v1: {'a_test.py::A::test_a': why, 'run: docker ps': why}\n";
        let names = |known: &Known| -> Vec<String> {
            known
                .docker_py
                .keys()
                .chain(known.sessions.keys())
                .cloned()
                .collect()
        };
        let known = Known::parse(text).unwrap();
        assert!(names(&known).is_empty());
        assert_eq!(
            names(&known.on_cgroup_v1()),
            ["a_test.py::A::test_a", "run: docker ps"]
        );
    }

    #[test]
    fn an_unknown_section_is_refused() {
        assert!(Known::parse("docker: {a: b}").is_err());
    }
}
