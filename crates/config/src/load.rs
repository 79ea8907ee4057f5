//! Reads the configuration from its fixed places: the only part of this crate that touches files.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Config, Layer, Metadata, Problem, combine, substitute, yaml};

/// Where configuration is kept, from the root of the machine (inventory B.1, B.10).
pub mod paths {
    /// Layer 1: what Coracle ships.
    pub const OS_CONFIG: &str = "/usr/share/ros/os-config.yml";
    /// The same, parsed and checked when the image was made.
    pub const OS_CONFIG_PARSED: &str = "/usr/share/ros/os-config.json";
    /// Layer 2: what the maker of the machine adds.
    pub const OEM_CONFIG: &str = "/usr/share/ros/oem/oem-config.yml";
    /// Layer 3: a directory, each file in it by name.
    pub const CLOUD_CONFIG_DIR: &str = "/var/lib/rancher/conf/cloud-config.d";
    /// Layer 4: what `ros config` writes.
    pub const CLOUD_CONFIG: &str = "/var/lib/rancher/conf/cloud-config.yml";
    /// Layer 5: the kernel command line.
    pub const CMDLINE: &str = "/proc/cmdline";
    /// Layer 6: metadata of the platform.
    pub const METADATA: &str = "/var/lib/rancher/conf/metadata";
    /// A script from user data, run when the console starts.
    pub const CLOUD_CONFIG_SCRIPT: &str = "/var/lib/rancher/conf/cloud-config-script";
}

/// The configuration of the machine, and what was wrong with its sources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// The typed view.
    pub config: Config,
    /// The merged tree.
    pub tree: Value,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

/// Reads and merges everything below `root` (`/` on the running machine).
///
/// It never fails: what cannot be read or understood is left out and listed in [`Loaded::problems`]. Files that do not exist
/// are no problem.
#[must_use]
pub fn load(root: &Path) -> Loaded {
    let mut reader = Reader {
        root,
        problems: Vec::new(),
    };
    let metadata = reader.metadata();
    let mut layers = Vec::new();
    let mut files = vec![paths::OEM_CONFIG.to_owned()];
    match reader.os_config() {
        Some(layer) => layers.push(layer),
        None => files.insert(0, paths::OS_CONFIG.to_owned()),
    }
    files.extend(reader.cloud_config_dir());
    files.push(paths::CLOUD_CONFIG.to_owned());
    for file in files {
        if let Some(text) = reader.read(&file) {
            let (layer, problems) = Layer::from_yaml(&file, &substitute(&text, &metadata));
            layers.push(layer);
            reader.problems.extend(problems);
        }
    }
    if let Some(line) = reader.read(paths::CMDLINE) {
        let (layer, problems) = Layer::from_cmdline(&line);
        layers.push(layer);
        reader.problems.extend(problems);
    }
    let mut tree = combine(layers);
    metadata.apply(&mut tree);
    let config = serde_path_to_error::deserialize(&tree).unwrap_or_else(|e| {
        // Each layer was checked alone; merging maps of checked layers cannot make a new type error.
        let key = Some(e.path().to_string());
        reader.problems.push(Problem {
            file: "merged configuration".into(),
            line: None,
            key,
            text: e.inner().to_string(),
        });
        Config::default()
    });
    Loaded {
        config,
        tree,
        problems: reader.problems,
    }
}

struct Reader<'a> {
    root: &'a Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn below_root(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn problem(&mut self, file: &str, text: String) {
        self.problems.push(Problem {
            file: file.to_owned(),
            line: None,
            key: None,
            text,
        });
    }

    fn read(&mut self, file: &str) -> Option<String> {
        match fs::read(self.below_root(file)) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Some(text),
                Err(_) => {
                    self.problem(file, "is not UTF-8 text, ignored".into());
                    None
                }
            },
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => {
                self.problem(file, format!("cannot be read: {e}"));
                None
            }
        }
    }

    /// What Coracle ships, without the work of reading YAML, which every program of the boot would do again.
    fn os_config(&self) -> Option<Layer> {
        let bytes = fs::read(self.below_root(paths::OS_CONFIG_PARSED)).ok()?;
        Some(Layer {
            source: paths::OS_CONFIG.to_owned(),
            tree: serde_json::from_slice(&bytes).ok()?,
        })
    }

    fn metadata(&mut self) -> Metadata {
        let Some(text) = self.read(paths::METADATA) else {
            return Metadata::default();
        };
        let parsed = yaml::parse(paths::METADATA, &text).and_then(|located| {
            serde_path_to_error::deserialize(&located.tree).map_err(|e| {
                let key = e.path().to_string();
                let line = located.lines.get(&key).copied();
                Problem {
                    file: paths::METADATA.into(),
                    line,
                    key: Some(key),
                    text: e.inner().to_string(),
                }
            })
        });
        parsed.unwrap_or_else(|problem| {
            self.problems.push(problem);
            Metadata::default()
        })
    }

    /// The files of `cloud-config.d` by name, without those that begin with a dot (B1-003).
    fn cloud_config_dir(&mut self) -> Vec<String> {
        let entries = match fs::read_dir(self.below_root(paths::CLOUD_CONFIG_DIR)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(e) => {
                self.problem(paths::CLOUD_CONFIG_DIR, format!("cannot be read: {e}"));
                return Vec::new();
            }
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.') && !name.ends_with('~'))
            .collect();
        names.sort();
        names
            .into_iter()
            .map(|name| format!("{}/{name}", paths::CLOUD_CONFIG_DIR))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn what_is_shipped_is_read_parsed_if_it_can_be() {
        let yaml = (paths::OS_CONFIG, "hostname: yaml");
        for (parsed, expected) in [
            (Some(r#"{"hostname":"parsed"}"#), "parsed"),
            (Some(r#"{"hostname":"#), "yaml"),
            (None, "yaml"),
        ] {
            let parsed = parsed.map(|text| (paths::OS_CONFIG_PARSED, text));
            let files: Vec<_> = [yaml].into_iter().chain(parsed).collect();
            let loaded = load(machine(&files).path());
            let hostname = loaded.config.hostname.as_deref();
            assert_eq!((hostname, loaded.problems), (Some(expected), vec![]));
        }
    }

    // B.1.
    #[test]
    fn layers_lie_over_each_other_in_order() {
        let root = machine(&[
            (
                paths::OS_CONFIG,
                "hostname: os\nrancher: {defaults: {hostname: def}, ssh: {port: 1}, console: a, services: {x: {image: i}}}",
            ),
            (
                paths::OEM_CONFIG,
                "rancher: {ssh: {port: 2, listen_address: oem}}",
            ),
            (
                "/var/lib/rancher/conf/cloud-config.d/a.yml",
                "rancher: {console: a1, environment: {IP: $public_ipv4}}",
            ),
            (
                "/var/lib/rancher/conf/cloud-config.d/b.yml",
                "rancher: {console: b1, services: {y: {image: j}}}",
            ),
            (
                "/var/lib/rancher/conf/cloud-config.d/.c.yml",
                "rancher: {console: hidden}",
            ),
            (
                paths::CLOUD_CONFIG,
                "ssh_authorized_keys: [ssh-rsa A]\nrancher: {ssh: {port: 3}}",
            ),
            (
                paths::CMDLINE,
                "quiet rancher.debug cc.hostname=line rancher.autologin=tty1\n",
            ),
            (
                paths::METADATA,
                "hostname: cloud\npublic_ipv4: 9.9.9.9\nssh_public_keys: {k: ssh-rsa B}\n",
            ),
        ]);
        let loaded = load(root.path());
        let config = &loaded.config;
        assert_eq!(loaded.problems, []);
        assert_eq!(config.hostname.as_deref(), Some("line"));
        assert_eq!(config.ssh_authorized_keys, ["ssh-rsa A", "ssh-rsa B"]);
        assert_eq!(
            (
                config.rancher.ssh.port,
                config.rancher.ssh.listen_address.as_deref()
            ),
            (Some(3), Some("oem"))
        );
        assert_eq!(config.rancher.console.as_deref(), Some("b1"));
        assert_eq!(
            config.rancher.services.keys().collect::<Vec<_>>(),
            ["x", "y"]
        );
        assert_eq!(config.rancher.environment["IP"], "9.9.9.9");
        assert_eq!(config.rancher.docker.debug, Some(true));
        assert!(config.autologin("tty1"));
    }

    // B1-011.
    #[test]
    fn bad_files_are_skipped_and_reported() {
        let root = machine(&[
            (paths::OS_CONFIG, "hostname: os\n"),
            (
                "/var/lib/rancher/conf/cloud-config.d/boot.yml",
                "#cloud-config\nhostname: [a\nrancher: x\n",
            ),
            (
                paths::CLOUD_CONFIG,
                "ssh_authorized_keys: [ssh-rsa A]\nrancher:\n  debug: 17\n",
            ),
        ]);
        fs::write(root.path().join("usr/share/ros/oem"), "").unwrap();
        fs::write(
            root.path().join("var/lib/rancher/conf/metadata"),
            [0xff, 0xfe],
        )
        .unwrap();
        let loaded = load(root.path());
        let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(loaded.config.effective_hostname(), "os");
        assert_eq!(loaded.config.ssh_authorized_keys, ["ssh-rsa A"]);
        assert_eq!(
            problems[0],
            "/var/lib/rancher/conf/metadata: is not UTF-8 text, ignored"
        );
        assert_eq!(
            problems[1],
            "/usr/share/ros/oem/oem-config.yml: cannot be read: Not a directory (os error 20)"
        );
        assert!(
            problems[2].starts_with("/var/lib/rancher/conf/cloud-config.d/boot.yml:3: not YAML: "),
            "{}",
            problems[2]
        );
        assert_eq!(
            problems[3],
            "/var/lib/rancher/conf/cloud-config.yml:3: rancher.debug: 17 is not a boolean, write true or false"
        );
        assert_eq!(problems.len(), 4);
    }

    #[test]
    fn an_empty_machine_has_the_defaults() {
        let root = machine(&[]);
        assert_eq!(
            load(root.path()),
            Loaded {
                tree: serde_json::json!({}),
                ..Loaded::default()
            }
        );
    }
}
