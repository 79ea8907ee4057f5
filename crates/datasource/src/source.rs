//! Datasources by name.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use coracle_config::Metadata;

use crate::{Error, UserData, config_drive, no_cloud};

/// Where user data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// OpenStack's volume `config-2` (iso9660, vfat or a 9p share).
    ConfigDrive,
    /// cloud-init's volume `cidata` (iso9660 or vfat).
    NoCloud,
}

/// What a datasource gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Host name and keys.
    pub metadata: Option<Metadata>,
    /// Cloud-config or script.
    pub user_data: Option<UserData>,
    /// The platform's own description of the network, as it is.
    pub network_config: Option<Vec<u8>>,
}

impl Source {
    /// The label of the volume, or the tag of the 9p share.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ConfigDrive => "config-2",
            Self::NoCloud => "cidata",
        }
    }

    /// Reads a mounted volume. A part that is broken is left out and reported; the others count.
    #[must_use]
    pub fn read(self, directory: &Path) -> (Fetched, Vec<Error>) {
        match self {
            Self::ConfigDrive => config_drive::read(directory),
            Self::NoCloud => no_cloud::read(directory),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigDrive => "configdrive",
            Self::NoCloud => "nocloud",
        })
    }
}

/// Reads `rancher.cloud_init.datasources` (inventory C1-001, C1-002): the sources in their order, and the names that are not known.
///
/// An empty list means every volume: their labels are made for nothing else.
#[must_use]
pub fn parse_list(names: &[String]) -> (Vec<Source>, Vec<String>) {
    const ALL: [Source; 2] = [Source::ConfigDrive, Source::NoCloud];
    let mut sources: Vec<Source> = Vec::new();
    let mut unknown = Vec::new();
    for entry in names {
        let found: &[Source] = match entry.split(':').next().unwrap_or_default() {
            "configdrive" | "openstack" => &[Source::ConfigDrive],
            "nocloud" => &[Source::NoCloud],
            "*" => &ALL,
            _ => {
                unknown.push(entry.clone());
                continue;
            }
        };
        for source in found {
            if !sources.contains(source) {
                sources.push(*source);
            }
        }
    }
    if names.is_empty() {
        sources.extend(ALL);
    }
    (sources, unknown)
}

/// The bytes of a file that may be missing.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io {
            action: "read",
            path: PathBuf::from(path),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_datasources() {
        use Source::{ConfigDrive, NoCloud};
        for (names, sources, unknown) in [
            (vec![], vec![ConfigDrive, NoCloud], vec![]),
            (
                vec!["configdrive:/media/config-2"],
                vec![ConfigDrive],
                vec![],
            ),
            (
                vec!["nocloud", "ec2", "*"],
                vec![NoCloud, ConfigDrive],
                vec!["ec2"],
            ),
        ] {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            assert_eq!(
                parse_list(&names),
                (
                    sources,
                    unknown.into_iter().map(str::to_owned).collect::<Vec<_>>()
                )
            );
        }
    }

    #[test]
    fn one_broken_part_does_not_cost_the_others() {
        let volume = tempfile::tempdir().unwrap();
        fs::write(volume.path().join("meta-data"), "local-hostname: h\n").unwrap();
        fs::write(volume.path().join("user-data"), "nonsense\n").unwrap();
        fs::write(volume.path().join("network-config"), "version: 2\n").unwrap();
        let (fetched, problems) = Source::NoCloud.read(volume.path());
        let metadata = Metadata {
            hostname: "h".into(),
            ..Metadata::default()
        };
        let want = Fetched {
            metadata: Some(metadata),
            user_data: None,
            network_config: Some(b"version: 2\n".to_vec()),
        };
        assert_eq!((fetched, problems.len()), (want, 1));
    }

    #[test]
    fn a_config_drive_is_read_whole() {
        let volume = tempfile::tempdir().unwrap();
        let latest = volume.path().join("openstack/latest");
        fs::create_dir_all(&latest).unwrap();
        fs::create_dir_all(volume.path().join("openstack/content")).unwrap();
        fs::write(
            latest.join("meta_data.json"),
            r#"{"hostname": "h", "network_config": {"content_path": "/content/0000"}}"#,
        )
        .unwrap();
        fs::write(latest.join("user_data"), "#!/bin/sh\n").unwrap();
        fs::write(volume.path().join("openstack/content/0000"), "auto eth0\n").unwrap();
        let (fetched, problems) = Source::ConfigDrive.read(volume.path());
        let metadata = Metadata {
            hostname: "h".into(),
            ..Metadata::default()
        };
        let want = Fetched {
            metadata: Some(metadata),
            user_data: Some(UserData::Script(b"#!/bin/sh\n".to_vec())),
            network_config: Some(b"auto eth0\n".to_vec()),
        };
        assert_eq!((fetched, problems.len()), (want, 0));
        assert_eq!(
            Source::ConfigDrive.read(Path::new("/nonexistent")).0,
            Fetched::default()
        );
    }
}
