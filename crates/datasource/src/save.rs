//! Keeping what a datasource gave (inventory A5-009, A5-011, A5-013, B1-023).

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use coracle_config::{paths, yaml};

use crate::{Error, Fetched, UserData};

/// The cloud-config from user data.
const BOOT_YML: &str = "/var/lib/rancher/conf/cloud-config.d/boot.yml";
/// The platform's description of the network.
const NETWORK_CONFIG: &str = "/var/lib/rancher/conf/network-config";
const CONFIG_MODE: u32 = 0o400;
const SCRIPT_MODE: u32 = 0o755;
const DIRECTORY_MODE: u32 = 0o700;

/// Writes `fetched` below `root`, each file whole or not at all, and removes what an earlier boot wrote and the platform no longer gives.
///
/// With `keep_user_data` the earlier cloud-config and script stay: the platform gave some, but they could not be used.
///
/// # Errors
/// When a file cannot be written.
pub fn save(root: &Path, fetched: &Fetched, keep_user_data: bool) -> Result<(), Error> {
    let place = |path: &str| root.join(path.trim_start_matches('/'));
    let metadata = match &fetched.metadata {
        Some(metadata) => {
            let tree = serde_json::to_value(metadata).unwrap_or_default();
            Some(yaml::emit(&tree).map_err(Error::Metadata)?.into_bytes())
        }
        None => None,
    };
    let (config, script) = match &fetched.user_data {
        Some(UserData::CloudConfig(text)) => (Some(text.as_bytes()), None),
        Some(UserData::Script(bytes)) => (None, Some(bytes.as_slice())),
        None => (None, None),
    };
    put(&place(paths::METADATA), metadata.as_deref(), CONFIG_MODE)?;
    put(
        &place(NETWORK_CONFIG),
        fetched.network_config.as_deref(),
        CONFIG_MODE,
    )?;
    if config.is_none() && script.is_none() && keep_user_data {
        return Ok(());
    }
    put(&place(BOOT_YML), config, CONFIG_MODE)?;
    put(&place(paths::CLOUD_CONFIG_SCRIPT), script, SCRIPT_MODE)
}

/// Writes or removes a file.
fn put(path: &Path, contents: Option<&[u8]>, mode: u32) -> Result<(), Error> {
    let failed = |action| {
        move |source| Error::Io {
            action,
            path: path.into(),
            source,
        }
    };
    let Some(contents) = contents else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove")(error)),
            _ => Ok(()),
        };
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(failed("make the directory of"))?;
    fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))
        .map_err(failed("protect the directory of"))?;
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)
        .map_err(failed("write"))?;
    file.write_all(contents).map_err(failed("write"))?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))
        .map_err(failed("protect"))?;
    file.as_file().sync_all().map_err(failed("write"))?;
    file.persist(path)
        .map_err(|error| failed("replace")(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use coracle_config::{Metadata, load};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_saved_is_what_the_configuration_loads() {
        let root = tempfile::tempdir().unwrap();
        let fetched = Fetched {
            metadata: Some(Metadata {
                hostname: "cloud".into(),
                ssh_public_keys: [("a".into(), "ssh-rsa A".into())].into(),
                ..Metadata::default()
            }),
            user_data: Some(UserData::CloudConfig(
                "#cloud-config\nrancher: {console: debian}\n".into(),
            )),
            network_config: None,
        };
        save(root.path(), &fetched, false).unwrap();
        let loaded = load(root.path());
        assert_eq!(loaded.problems, []);
        assert_eq!(loaded.config.hostname.as_deref(), Some("cloud"));
        assert_eq!(loaded.config.ssh_authorized_keys, ["ssh-rsa A"]);
        assert_eq!(loaded.config.rancher.console.as_deref(), Some("debian"));
        let conf = root.path().join("var/lib/rancher/conf");
        assert_eq!(
            (
                mode(&conf),
                mode(&conf.join("metadata")),
                mode(&conf.join("cloud-config.d/boot.yml"))
            ),
            (0o700, 0o400, 0o400)
        );
    }

    #[test]
    fn later_boots_replace_remove_or_keep() {
        let root = tempfile::tempdir().unwrap();
        let conf = root.path().join("var/lib/rancher/conf");
        let exists = |name: &str| conf.join(name).exists();
        let script = Fetched {
            user_data: Some(UserData::Script(b"#!/bin/sh\n".to_vec())),
            ..Fetched::default()
        };
        let config = Fetched {
            user_data: Some(UserData::CloudConfig("#cloud-config\n".into())),
            ..Fetched::default()
        };

        save(root.path(), &script, false).unwrap();
        assert_eq!(mode(&conf.join("cloud-config-script")), 0o755);
        save(root.path(), &config, false).unwrap();
        assert_eq!(
            (
                exists("cloud-config-script"),
                exists("cloud-config.d/boot.yml")
            ),
            (false, true)
        );
        save(root.path(), &Fetched::default(), true).unwrap();
        assert!(exists("cloud-config.d/boot.yml"));
        save(root.path(), &Fetched::default(), false).unwrap();
        assert!(!exists("cloud-config.d/boot.yml"));
    }
}
