//! Configuration volumes: which labels mean which format, and how their files are read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result, Seed, UserData, config_drive, nocloud};

/// Longest file that is read from a volume, in bytes.
pub const LIMIT: u64 = 16 << 20;

/// The formats of configuration volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeKind {
    /// OpenStack's config drive, label or 9p tag `config-2` (C2-009).
    ConfigDrive,
    /// cloud-init's NoCloud seed, label `cidata` (asked for in J1-045).
    NoCloud,
}

impl VolumeKind {
    /// Every kind with the label that a volume carries; labels compare without case.
    pub const LABELS: [(Self, &'static str); 2] =
        [(Self::ConfigDrive, "config-2"), (Self::NoCloud, "cidata")];

    /// The kind that a file system with this label is, if any.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::LABELS
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(label))
            .map(|(kind, _)| *kind)
    }
}

impl Seed {
    /// Reads a volume mounted at `mount_point`.
    ///
    /// # Errors
    /// When a file is there and cannot be read, is too large, or is not in its format. Missing files are no error.
    pub fn read(kind: VolumeKind, mount_point: &Path) -> Result<Self> {
        let volume = Volume(mount_point);
        let (metadata, raw_user_data, network) = match kind {
            VolumeKind::ConfigDrive => {
                let metadata = volume.text(config_drive::META_DATA)?;
                let parsed = metadata
                    .as_deref()
                    .map(config_drive::parse)
                    .transpose()?
                    .unwrap_or_default();
                let network = parsed
                    .network_path
                    .map(|path| volume.text(&path))
                    .transpose()?
                    .flatten();
                (
                    parsed.metadata,
                    volume.bytes(config_drive::USER_DATA)?,
                    network,
                )
            }
            VolumeKind::NoCloud => {
                let metadata = volume.text(nocloud::META_DATA)?;
                let parsed = metadata
                    .as_deref()
                    .map(nocloud::parse)
                    .transpose()?
                    .unwrap_or_default();
                (
                    parsed,
                    volume.bytes(nocloud::USER_DATA)?,
                    volume.text(nocloud::NETWORK_CONFIG)?,
                )
            }
        };
        let name = match kind {
            VolumeKind::ConfigDrive => config_drive::USER_DATA,
            VolumeKind::NoCloud => nocloud::USER_DATA,
        };
        let mut problems = Vec::new();
        let user_data = raw_user_data
            .map(|raw| UserData::parse(name, &raw, &mut problems))
            .transpose()?
            .flatten();
        Ok(Self {
            kind,
            metadata,
            user_data,
            network,
            problems,
        })
    }
}

/// A mounted volume. Paths come partly from the volume's own metadata, so `..` never leaves it.
struct Volume<'a>(&'a Path);

impl Volume<'_> {
    fn path(&self, name: &str) -> PathBuf {
        let inside = Path::new(name)
            .components()
            .filter(|part| matches!(part, std::path::Component::Normal(_)));
        self.0.join(inside.collect::<PathBuf>())
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let mut content = Vec::new();
        match file.take(LIMIT + 1).read_to_end(&mut content) {
            Ok(_) if content.len() as u64 > LIMIT => Err(Error::TooLarge { path, limit: LIMIT }),
            Ok(_) => Ok(Some(content)),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self
            .bytes(name)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle_config::Metadata;
    use std::fs;

    #[test]
    fn labels_compare_without_case() {
        for (label, kind) in [
            ("config-2", Some(VolumeKind::ConfigDrive)),
            ("CONFIG-2", Some(VolumeKind::ConfigDrive)),
            ("cidata", Some(VolumeKind::NoCloud)),
            ("CIDATA", Some(VolumeKind::NoCloud)),
            ("RANCHER_STATE", None),
        ] {
            assert_eq!(VolumeKind::from_label(label), kind, "{label}");
        }
    }

    #[test]
    fn a_config_drive_gives_metadata_user_data_and_its_network_file() {
        let dir = tempfile::tempdir().unwrap();
        let latest = dir.path().join("openstack/latest");
        fs::create_dir_all(&latest).unwrap();
        fs::create_dir_all(dir.path().join("openstack/content")).unwrap();
        fs::write(
            latest.join("meta_data.json"),
            r#"{"hostname":"one.example","public_keys":{"me":"ssh-ed25519 AAAA me\n"},
                "network_config":{"content_path":"/content/0000"}}"#,
        )
        .unwrap();
        fs::write(latest.join("user_data"), "#cloud-config\nhostname: two\n").unwrap();
        fs::write(dir.path().join("openstack/content/0000"), "auto eth0\n").unwrap();

        let seed = Seed::read(VolumeKind::ConfigDrive, dir.path()).unwrap();

        assert_eq!(seed.network.as_deref(), Some("auto eth0\n"));
        assert_eq!(
            seed.metadata,
            Metadata {
                hostname: "one.example".into(),
                ssh_public_keys: [("me".to_owned(), "ssh-ed25519 AAAA me".to_owned())].into(),
                ..Metadata::default()
            }
        );
        assert_eq!(
            seed.user_data,
            Some(UserData::CloudConfig(
                "#cloud-config\nhostname: two\n".into()
            ))
        );
    }

    #[test]
    fn a_path_in_the_metadata_never_leaves_the_volume() {
        let volume = Volume(Path::new("/media/config-2"));
        for (name, path) in [
            ("user-data", "/media/config-2/user-data"),
            ("/content/0000", "/media/config-2/content/0000"),
            ("../../etc/shadow", "/media/config-2/etc/shadow"),
        ] {
            assert_eq!(volume.path(name), Path::new(path));
        }
    }

    #[test]
    fn an_empty_volume_gives_an_empty_seed() {
        let dir = tempfile::tempdir().unwrap();
        let seed = Seed::read(VolumeKind::NoCloud, dir.path()).unwrap();
        assert_eq!(
            seed,
            Seed {
                kind: VolumeKind::NoCloud,
                metadata: Metadata::default(),
                user_data: None,
                network: None,
                problems: Vec::new()
            }
        );
    }

    #[test]
    fn text_that_is_no_user_data_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("user-data"),
            "hostname: forgot-the-header\n",
        )
        .unwrap();
        let error = Seed::read(VolumeKind::NoCloud, dir.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "user-data: the first line is \"hostname: forgot-the-header\"; user data starts with #cloud-config, #compose or #! \
             (a script)"
        );
    }
}
