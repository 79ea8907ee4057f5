//! The state partition: everything that changes and stays (inventory A2-008, A2-009, A4-009 to A4-013, B.4).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_config::State;
use coracle_disk::{BOOT2DOCKER_MAGIC, Contents, DeviceSpec, ExtState, Kind, ext_state};
use rustix::mount::{MountFlags, UnmountFlags, unmount};

use crate::consoles::Consoles;
use crate::disks::{self, Disk};
use crate::mounts::mount_at;
use crate::{Error, tools};

/// Where it is mounted.
pub const STATE: &str = "/state";
/// How long `rancher.state.wait` waits (A4-009: two times 30 s).
pub const WAIT: Duration = Duration::from_secs(60);
const LABEL: &str = "RANCHER_STATE";
/// Of disks made for boot2docker (docker-machine).
const BOOT2DOCKER_LABEL: &str = "B2D_STATE";
const BOOT2DOCKER_DISKS: [&str; 2] = ["/dev/sda", "/dev/vda"];

/// What the configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The device; `None` means memory.
    pub device: Option<DeviceSpec>,
    /// Disks of which the first blank one is formatted when the device is not there.
    pub autoformat: Vec<PathBuf>,
    /// Label for the new file system.
    pub label: &'static str,
    /// Whether to wait for it.
    pub wait: bool,
    /// Whether memory is no answer.
    pub required: bool,
}

impl Wish {
    /// Reads `rancher.state`; with nothing in it, a disk of boot2docker is taken.
    ///
    /// # Errors
    /// When the device is named in a way that means nothing.
    pub fn new(state: &State, disks: &[Disk]) -> Result<Self, Error> {
        let mut wish = Self {
            device: state
                .dev
                .as_deref()
                .filter(|dev| !dev.is_empty())
                .map(str::parse)
                .transpose()?,
            autoformat: state.autoformat.iter().map(PathBuf::from).collect(),
            label: LABEL,
            wait: state.wait || state.required,
            required: state.required,
        };
        if wish.device.is_some() {
            return Ok(wish);
        }
        let boot2docker = DeviceSpec::Label(BOOT2DOCKER_LABEL.into());
        let marked = || {
            disks
                .iter()
                .find(|disk| is_marked(disk))
                .map(|disk| disk.device.node.clone())
        };
        if !wish.autoformat.is_empty() {
            wish.device = Some(DeviceSpec::Label(LABEL.into()));
        } else if disks::find(disks, &boot2docker).is_some() {
            wish.device = Some(boot2docker);
        } else if let Some(node) = marked() {
            wish.device = Some(boot2docker);
            wish.autoformat = vec![node];
            wish.label = BOOT2DOCKER_LABEL;
        }
        Ok(wish)
    }

    /// The device, when it is there now.
    #[must_use]
    pub fn find<'a>(&self, disks: &'a [Disk]) -> Option<&'a Disk> {
        self.device
            .as_ref()
            .and_then(|spec| disks::find(disks, spec))
    }

    /// Whether one of the disks to format is there.
    #[must_use]
    pub fn can_be_formatted(&self, disks: &[Disk]) -> bool {
        self.autoformat
            .iter()
            .any(|path| disks::find(disks, &DeviceSpec::Path(path.clone())).is_some())
    }

    /// The device as configured.
    #[must_use]
    pub fn device_text(&self) -> String {
        self.device
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// The first disk to format that is there, with what keeps the others from it.
    fn blank<'a>(&self, disks: &'a [Disk], consoles: &Consoles) -> Option<&'a Disk> {
        self.autoformat.iter().find_map(|path| {
            let disk = disks::find(disks, &DeviceSpec::Path(path.clone()))?;
            let contents = File::open(&disk.device.node).and_then(|file| Contents::of(&file));
            match contents {
                Ok(contents) if contents.may_be_formatted() => Some(disk),
                Ok(contents) => {
                    consoles.say(&format!(
                        "state: {} is not formatted, it is not blank: {contents}",
                        path.display()
                    ));
                    None
                }
                Err(error) => {
                    consoles.say(&format!(
                        "state: {} is not formatted: {error}",
                        path.display()
                    ));
                    None
                }
            }
        })
    }

    /// Formats the first blank disk of the list, if there is one (A4-012: one disk only).
    ///
    /// # Errors
    /// When making the file system fails.
    pub fn format_blank(&self, disks: &[Disk], consoles: &Consoles) -> Result<bool, Error> {
        let Some(disk) = self.blank(disks, consoles) else {
            return Ok(false);
        };
        let node = disk.device.node.display().to_string();
        consoles.say(&format!(
            "state: formatting {node} as ext4 with label {}",
            self.label
        ));
        let arguments = [
            "-q",
            "-F",
            "-m",
            "1",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1",
            "-L",
            self.label,
            &node,
        ];
        match tools::run("mkfs.ext4", &arguments)? {
            (0, _) => Ok(true),
            (code, output) => Err(Error::Format {
                device: node,
                output: format!("status {code}: {output}"),
            }),
        }
    }

    /// What to say when the device is not there.
    #[must_use]
    pub fn missing(&self, disks: &[Disk]) -> Error {
        Error::NoState {
            device: self.device_text(),
            seen: disks::describe(disks),
        }
    }
}

fn is_marked(disk: &Disk) -> bool {
    BOOT2DOCKER_DISKS
        .iter()
        .any(|node| disk.device.node == Path::new(node))
        && disk.filesystem.is_none()
        && File::open(&disk.device.node)
            .and_then(|file| coracle_disk::ReadAt::read_up_to(&file, 0, BOOT2DOCKER_MAGIC.len()))
            .is_ok_and(|start| start == BOOT2DOCKER_MAGIC)
}

/// Whether the state is likely to be on ext4, as far as the configuration tells before any disk is read.
#[must_use]
pub fn expects_ext4(state: &State) -> bool {
    let named = state.dev.as_deref().is_some_and(|dev| !dev.is_empty());
    let fstype = state.fstype.as_deref().unwrap_or_default();
    (named || !state.autoformat.is_empty()) && ["", "auto", "ext4"].contains(&fstype)
}

/// Mounts `disk` on [`STATE`], after the check that its file system asks for.
///
/// # Errors
/// When it holds no file system that can be mounted, or the check finds damage that only a person may repair.
pub fn mount_disk(disk: &Disk, fstype: Option<&str>, consoles: &Consoles) -> Result<(), Error> {
    let node = disk.device.node.display().to_string();
    let kind = disk.filesystem.as_ref().map(|filesystem| filesystem.kind);
    if kind == Some(Kind::Ext4) {
        check(&node, consoles)?;
    }
    let named = fstype.filter(|name| !name.is_empty() && *name != "auto");
    let kind = match (named, kind) {
        (Some(name), _) => name,
        (None, Some(Kind::Luks | Kind::Lvm | Kind::Raid | Kind::Swap)) | (None, None) => {
            let holds = disk
                .filesystem
                .as_ref()
                .map_or_else(|| "nothing known".to_owned(), ToString::to_string);
            return Err(Error::NotMountable {
                device: node,
                holds,
            });
        }
        (None, Some(kind)) => kind.name(),
    };
    mount_at(&node, kind, Path::new(STATE), MountFlags::empty(), "")
}

/// The journal is replayed by mounting; only recorded errors, or a file system without a journal that was not unmounted, need e2fsck.
fn check(node: &str, consoles: &Consoles) -> Result<(), Error> {
    let state = File::open(node)
        .and_then(|file| ext_state(&file))
        .map_err(Error::io("read", Path::new(node)))?;
    if state != Some(ExtState::NeedsCheck) {
        return Ok(());
    }
    consoles.say(&format!("state: checking {node}"));
    match tools::run("e2fsck", &["-p", node])? {
        // 1: repaired. 2: repaired, restart if it was mounted; it was not.
        (0..=2, output) => {
            consoles.log(&output);
            Ok(())
        }
        (code, output) => Err(Error::Check {
            device: node.to_owned(),
            output: format!("status {code}: {output}"),
        }),
    }
}

/// Takes away what an attempt left mounted that ended in the recovery shell.
pub fn forget_failed_attempt() {
    let _ = unmount(STATE, UnmountFlags::DETACH);
}

/// Mounts memory instead. Four fifths of it may be used; the rest is for programs.
///
/// # Errors
/// When the kernel refuses.
pub fn mount_memory() -> Result<(), Error> {
    mount_at(
        "state",
        "tmpfs",
        Path::new(STATE),
        MountFlags::empty(),
        "size=80%,mode=0755",
    )
}

/// The directory on the partition that holds the system's state (A6-003), made when missing.
///
/// # Errors
/// When it cannot be made, or leads out of the partition.
pub fn directory(name: Option<&str>) -> Result<PathBuf, Error> {
    let name = name.unwrap_or_default().trim_matches('/');
    let path = Path::new(STATE).join(name);
    if Path::new(name)
        .components()
        .any(|part| matches!(part, std::path::Component::ParentDir))
    {
        return Err(Error::Io {
            action: "use",
            path,
            source: std::io::ErrorKind::InvalidInput.into(),
        });
    }
    fs::create_dir_all(&path).map_err(Error::io("make", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use coracle_disk::{BlockDevice, Filesystem};

    use super::*;

    fn disk(name: &str, label: Option<&str>) -> Disk {
        Disk {
            device: BlockDevice {
                name: name.into(),
                node: Path::new("/dev").join(name),
                size: 1 << 30,
                partition_of: None,
                read_only: false,
            },
            filesystem: label.map(|label| Filesystem {
                kind: Kind::Ext4,
                label: Some(label.into()),
                uuid: None,
            }),
        }
    }

    #[test]
    fn configuration_becomes_a_wish() {
        let label = |label: &str| Some(DeviceSpec::Label(label.into()));
        let wish = |device, autoformat: &[&str], wait, required| Wish {
            device,
            autoformat: autoformat.iter().map(PathBuf::from).collect(),
            label: LABEL,
            wait,
            required,
        };
        let dev = |text: &str| Some(text.to_owned());
        let cases = [
            (State::default(), vec![], wish(None, &[], false, false)),
            (
                State {
                    dev: dev("LABEL=X"),
                    wait: true,
                    ..State::default()
                },
                vec![disk("nonexistent-vdb", Some("B2D_STATE"))],
                wish(label("X"), &[], true, false),
            ),
            (
                State {
                    autoformat: vec!["/dev/x".into()],
                    required: true,
                    ..State::default()
                },
                vec![],
                wish(label("RANCHER_STATE"), &["/dev/x"], true, true),
            ),
            (
                State::default(),
                vec![disk("nonexistent-vdb", Some("B2D_STATE"))],
                wish(label("B2D_STATE"), &[], false, false),
            ),
            (
                State {
                    dev: dev(""),
                    ..State::default()
                },
                vec![],
                wish(None, &[], false, false),
            ),
        ];
        for (state, disks, want) in cases {
            assert_eq!(Wish::new(&state, &disks).unwrap(), want);
        }
        assert!(
            Wish::new(
                &State {
                    dev: dev("vda1"),
                    ..State::default()
                },
                &[]
            )
            .is_err()
        );
    }

    #[test]
    fn ext4_is_expected_where_a_disk_is_named_and_no_other_file_system() {
        let cases = [
            (None, "", None, false),
            (Some(""), "", None, false),
            (Some("LABEL=STATE"), "", None, true),
            (Some("LABEL=STATE"), "", Some("auto"), true),
            (Some("LABEL=STATE"), "", Some("ext4"), true),
            (Some("LABEL=STATE"), "", Some("xfs"), false),
            (None, "/dev/vda", None, true),
        ];
        for (dev, autoformat, fstype, want) in cases {
            let state = State {
                dev: dev.map(Into::into),
                autoformat: autoformat.split_terminator(',').map(Into::into).collect(),
                fstype: fstype.map(Into::into),
                ..State::default()
            };
            assert_eq!(
                expects_ext4(&state),
                want,
                "{dev:?} {autoformat:?} {fstype:?}"
            );
        }
    }

    #[test]
    fn a_missing_device_is_named_with_what_is_there() {
        let disks = [disk("vda", Some("OTHER")), disk("sr0", None)];
        let state = State {
            dev: Some("LABEL=STATE".into()),
            ..State::default()
        };
        assert_eq!(
            Wish::new(&state, &disks)
                .unwrap()
                .missing(&disks)
                .to_string(),
            "rancher.state.dev=LABEL=STATE: no such device; there are: vda (ext4 LABEL=OTHER), sr0 (nothing known)"
        );
    }
}
