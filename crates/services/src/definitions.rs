//! Gathers what the machine's configuration says about services.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use coracle_config::Loaded;
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::project::Project;
use crate::{Environment, Problem};

/// The services of the machine whose root is `root`: `rancher.services`, and what `rancher.services_include` switches on
/// (inventory B3-003, B3-006). Built-in and configured services win over catalogue entries of the same name.
#[must_use]
pub fn load(root: &Path) -> Project {
    from_config(&coracle_config::load(root), root)
}

/// The same, from a configuration that was read already.
#[must_use]
pub fn from_config(loaded: &Loaded, root: &Path) -> Project {
    let included = loaded
        .config
        .rancher
        .services_include
        .iter()
        .filter(|(_, on)| **on)
        .map(|(name, _)| name.as_str());
    let mut project = gather(&loaded.tree["rancher"], included, &Catalogue::below(root));
    if loaded.config.rancher.no_sharedroot {
        project.keep_mounts_apart();
    }
    project.read_env_files(|file| std::fs::read_to_string(root.join(file.trim_start_matches('/'))));
    project
}

/// Size and time of change of every file that the configuration is read from: tells whether reading it again is worthwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources(Vec<(PathBuf, u64, SystemTime)>);

impl Sources {
    /// The sources of the machine whose root is `root`, as they are now.
    pub(crate) fn below(root: &Path) -> Self {
        use coracle_config::paths;
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let files = [
            paths::OS_CONFIG,
            paths::OEM_CONFIG,
            paths::CLOUD_CONFIG,
            paths::METADATA,
        ];
        let fragments = std::fs::read_dir(below(paths::CLOUD_CONFIG_DIR));
        let fragments = fragments
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let mut sources: Vec<_> = files
            .map(below)
            .into_iter()
            .chain(fragments)
            .filter_map(|path| {
                let metadata = path.metadata().ok()?;
                Some((path, metadata.len(), metadata.modified().ok()?))
            })
            .collect();
        sources.sort();
        Self(sources)
    }
}

fn gather<'a>(
    rancher: &Value,
    included: impl Iterator<Item = &'a str>,
    catalogue: &Catalogue,
) -> Project {
    let uname = rustix::system::uname();
    let environment = Environment::from_config(rancher, &uname.release().to_string_lossy());
    let configured = &rancher["services"];
    let mut project = Project::parse(configured, environment);
    for name in included {
        let mut definitions = match catalogue.definitions(name) {
            Ok(definitions) => definitions,
            Err(problem) => {
                project.problems.push(problem);
                continue;
            }
        };
        if let Value::Object(map) = &mut definitions {
            map.retain(|service, _| {
                let known = configured.get(service).is_some();
                if known {
                    let text =
                        format!("defined by {name} and by rancher.services; the latter is used");
                    project.problems.push(Problem::new(service, None, text));
                }
                !known
            });
        }
        project.add(&definitions);
    }
    project
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn configured_and_included_services_come_together() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "usr/share/ros/os-config.yml",
            "rancher:\n  environment: {VERSION: v1}\n  services:\n    a: {image: 'os-a:${VERSION}'}\n",
        );
        write(
            "var/lib/rancher/conf/cloud-config.yml",
            "rancher:\n  services_include: {extra: true, off: false, gone: true}\n",
        );
        write(
            "usr/share/ros/services/e/extra.yml",
            "extra: {image: 'e:${VERSION}'}\na: {image: other}\n",
        );
        let project = load(root.path());
        let images: Vec<_> = project
            .services
            .iter()
            .map(|s| (s.name.as_str(), s.image.as_str()))
            .collect();
        assert_eq!(images, [("a", "os-a:v1"), ("extra", "e:v1")]);
        let problems: Vec<_> = project.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "service a: defined by extra and by rancher.services; the latter is used",
                "service gone: not a valid service: there is no /usr/share/ros/services/g/gone.yml",
            ]
        );
    }

    #[test]
    fn changed_files_are_noticed() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("var/lib/rancher/conf/cloud-config.d");
        fs::create_dir_all(&directory).unwrap();
        let empty = Sources::below(root.path());
        assert_eq!(empty, Sources::below(root.path()));
        fs::write(directory.join("network.yml"), "a").unwrap();
        let one = Sources::below(root.path());
        assert_ne!(empty, one);
        fs::write(directory.join("network.yml"), "ab").unwrap();
        assert_ne!(one, Sources::below(root.path()));
    }
}
