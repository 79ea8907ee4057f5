//! How configurations name devices (inventory A9-010).

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{BlockDevice, Error, Filesystem, block_devices, probe};

/// A device as written in `rancher.state.dev` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceSpec {
    /// Label of the file system.
    Label(String),
    /// Identifier of the file system.
    Uuid(String),
    /// Name in the partition table.
    PartLabel(String),
    /// Identifier in the partition table.
    PartUuid(String),
    /// The node itself.
    Path(PathBuf),
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.starts_with('/') {
            return Ok(Self::Path(text.into()));
        }
        let (tag, value) = text
            .split_once('=')
            .ok_or_else(|| Error::Spec(text.to_owned()))?;
        let value = value.trim_matches('"');
        match tag {
            _ if value.is_empty() => Err(Error::Spec(text.to_owned())),
            "LABEL" => Ok(Self::Label(value.to_owned())),
            "UUID" => Ok(Self::Uuid(value.to_owned())),
            "PARTLABEL" => Ok(Self::PartLabel(value.to_owned())),
            "PARTUUID" => Ok(Self::PartUuid(value.to_owned())),
            _ => Err(Error::Spec(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "LABEL={label}"),
            Self::Uuid(uuid) => write!(f, "UUID={uuid}"),
            Self::PartLabel(label) => write!(f, "PARTLABEL={label}"),
            Self::PartUuid(uuid) => write!(f, "PARTUUID={uuid}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl DeviceSpec {
    /// Whether this device is meant. `names` are the partition table's, `filesystem` is what [`probe`] found.
    #[must_use]
    pub fn matches(
        &self,
        device: &BlockDevice,
        filesystem: Option<&Filesystem>,
        names: &(Option<String>, Option<String>),
    ) -> bool {
        match self {
            Self::Label(label) => filesystem.is_some_and(|fs| fs.has_label(label)),
            Self::Uuid(uuid) => filesystem.is_some_and(|fs| fs.has_uuid(uuid)),
            Self::PartLabel(label) => names.0.as_deref() == Some(label),
            Self::PartUuid(uuid) => names
                .1
                .as_deref()
                .is_some_and(|own| own.eq_ignore_ascii_case(uuid)),
            Self::Path(path) => resolve_links(path) == device.node,
        }
    }

    /// Whether `device` is meant, looking at its superblock or partition table as needed.
    #[must_use]
    pub fn is(&self, device: &BlockDevice) -> bool {
        match self {
            Self::Label(_) | Self::Uuid(_) => {
                let filesystem = File::open(&device.node)
                    .ok()
                    .and_then(|file| probe(&file).ok().flatten());
                self.matches(device, filesystem.as_ref(), &(None, None))
            }
            Self::PartLabel(_) | Self::PartUuid(_) => {
                self.matches(device, None, &device.partition_names())
            }
            Self::Path(_) => self.matches(device, None, &(None, None)),
        }
    }
}

/// The first device that `spec` means, by name; `None` when none is there now.
#[must_use]
pub fn find(spec: &DeviceSpec) -> Option<BlockDevice> {
    block_devices().into_iter().find(|device| spec.is(device))
}

/// `/dev/disk/…` and the like are links to the node.
fn resolve_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn specs_are_read_and_printed() {
        for text in [
            "LABEL=RANCHER_STATE",
            "UUID=1-2",
            "PARTLABEL=state",
            "PARTUUID=a-1",
            "/dev/vda1",
        ] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
        assert_eq!(
            "LABEL=\"a b\"".parse::<DeviceSpec>().unwrap(),
            DeviceSpec::Label("a b".into())
        );
        for text in ["vda", "LABEL=", "NAME=x", ""] {
            assert_eq!(
                text.parse::<DeviceSpec>().unwrap_err().to_string(),
                format!(
                    "{text:?} names no device: write LABEL=name, UUID=…, PARTLABEL=name, PARTUUID=… or a path such as /dev/vda"
                )
            );
        }
    }

    #[test]
    fn each_kind_of_spec_matches_its_own_name() {
        let device = BlockDevice {
            name: "vda1".into(),
            node: "/dev/nonexistent-vda1".into(),
            size: 1,
            partition_of: Some(("vda".into(), 1)),
            read_only: false,
        };
        let filesystem = Filesystem {
            kind: Kind::Ext4,
            label: Some("L".into()),
            uuid: Some("ab-cd".into()),
        };
        let names = (Some("P".to_owned()), Some("ef-01".to_owned()));
        for (spec, want) in [
            ("LABEL=L", true),
            ("LABEL=P", false),
            ("UUID=AB-CD", true),
            ("PARTLABEL=P", true),
            ("PARTUUID=EF-01", true),
            ("PARTUUID=ab-cd", false),
            ("/dev/nonexistent-vda1", true),
            ("/dev/nonexistent-vda", false),
        ] {
            let spec: DeviceSpec = spec.parse().unwrap();
            assert_eq!(
                spec.matches(&device, Some(&filesystem), &names),
                want,
                "{spec}"
            );
        }
    }
}
