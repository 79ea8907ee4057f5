//! Keeps a seed in the configuration directory, where the next load finds it (inventory A5-009 to A5-013, B10-001).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use coracle_config::{Problem, paths, yaml};
use serde_json::json;

use crate::{Error, Result, Seed, UserData};

/// User data as a layer of the configuration, below [`paths::CLOUD_CONFIG_DIR`].
const BOOT_CONFIG: &str = "boot.yml";
/// The platform's network description, beside the metadata.
const NETWORK: &str = "/var/lib/rancher/conf/network-data";

impl Seed {
    /// Writes what the seed holds below `root`: each file is written beside its place, synced and renamed. What the seed does
    /// not hold is left as an earlier boot wrote it, so a machine whose volume is gone keeps its configuration (A5-015).
    ///
    /// # Errors
    /// When a file cannot be written; earlier ones stay written.
    pub fn save(&self, root: &Path) -> Result<()> {
        let metadata = serde_json::to_value(&self.metadata)
            .map_err(|e| Problem {
                file: paths::METADATA.into(),
                line: None,
                key: None,
                text: e.to_string(),
            })
            .and_then(|tree| yaml::emit(&tree))
            .map_err(Error::Format)?;
        write(root, paths::METADATA, metadata.as_bytes(), 0o400)?;
        if let Some(network) = &self.network {
            write(root, NETWORK, network.as_bytes(), 0o400)?;
        }
        let boot_config = format!("{}/{BOOT_CONFIG}", paths::CLOUD_CONFIG_DIR);
        match &self.user_data {
            Some(UserData::Script(text)) => {
                write(root, paths::CLOUD_CONFIG_SCRIPT, text.as_bytes(), 0o755)
            }
            Some(UserData::CloudConfig(text)) => write(root, &boot_config, text.as_bytes(), 0o400),
            Some(UserData::Compose(text)) => {
                let services = yaml::parse(BOOT_CONFIG, text).map_err(Error::Format)?.tree;
                let layer = yaml::emit(&json!({"rancher": {"services": services}}))
                    .map_err(Error::Format)?;
                write(root, &boot_config, layer.as_bytes(), 0o400)
            }
            None => Ok(()),
        }
    }
}

fn write(root: &Path, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let path = root.join(name.trim_start_matches('/'));
    let beside = path.with_extension("new");
    let attempt = || {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        // An earlier attempt may have left a file that its mode makes read-only.
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(content)?;
        rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(mode))?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    attempt().map_err(|source| Error::Write {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VolumeKind;
    use coracle_config::Metadata;
    use std::os::unix::fs::PermissionsExt;

    fn seed(user_data: UserData) -> Seed {
        Seed {
            kind: VolumeKind::NoCloud,
            metadata: Metadata {
                hostname: "from-platform".into(),
                ..Metadata::default()
            },
            user_data: Some(user_data),
            network: None,
            problems: Vec::new(),
        }
    }

    #[test]
    fn a_saved_seed_is_what_the_next_load_reads() {
        let root = tempfile::tempdir().unwrap();
        seed(UserData::CloudConfig(
            "#cloud-config\nssh_authorized_keys: [k1]\n".into(),
        ))
        .save(root.path())
        .unwrap();
        // A second boot writes over the first, although the files are read-only.
        seed(UserData::CloudConfig(
            "#cloud-config\nssh_authorized_keys: [k2]\n".into(),
        ))
        .save(root.path())
        .unwrap();

        let loaded = coracle_config::load(root.path());

        assert_eq!(loaded.problems, []);
        assert_eq!(loaded.config.hostname.as_deref(), Some("from-platform"));
        assert_eq!(loaded.config.ssh_authorized_keys, ["k2"]);
    }

    #[test]
    fn compose_becomes_system_services() {
        let root = tempfile::tempdir().unwrap();
        seed(UserData::Compose("#compose\nweb:\n  image: nginx\n".into()))
            .save(root.path())
            .unwrap();
        let tree = coracle_config::load(root.path()).tree;
        assert_eq!(
            coracle_config::tree::get(&tree, "rancher.services"),
            Some(&json!({"web": {"image": "nginx"}}))
        );
    }

    #[test]
    fn secrets_are_for_root_only_and_scripts_run() {
        let root = tempfile::tempdir().unwrap();
        seed(UserData::Script("#!/bin/sh\n".into()))
            .save(root.path())
            .unwrap();
        let mode = |name: &str| {
            let path = root.path().join(name.trim_start_matches('/'));
            fs::metadata(path).unwrap().permissions().mode() & 0o7777
        };
        assert_eq!(mode(paths::METADATA), 0o400);
        assert_eq!(mode(paths::CLOUD_CONFIG_SCRIPT), 0o755);
        assert_eq!(mode("/var/lib/rancher/conf"), 0o700);
    }
}
