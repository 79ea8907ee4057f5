//! All disks and what is on them, read once.

use std::fs::File;

use coracle_disk::{BlockDevice, DeviceSpec, Filesystem, block_devices, probe};

/// A block device and its contents.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The device.
    pub device: BlockDevice,
    /// What is on it, if that is known.
    pub filesystem: Option<Filesystem>,
}

/// Reads every superblock now. A device that cannot be read (a drive without a disc) holds nothing.
#[must_use]
pub fn scan() -> Vec<Disk> {
    block_devices()
        .into_iter()
        .map(|device| {
            let filesystem = File::open(&device.node)
                .ok()
                .and_then(|file| probe(&file).ok().flatten());
            Disk { device, filesystem }
        })
        .collect()
}

/// The first disk that `spec` means.
#[must_use]
pub fn find<'a>(disks: &'a [Disk], spec: &DeviceSpec) -> Option<&'a Disk> {
    disks.iter().find(|disk| match spec {
        DeviceSpec::PartLabel(_) | DeviceSpec::PartUuid(_) => spec.is(&disk.device),
        _ => spec.matches(&disk.device, disk.filesystem.as_ref(), &(None, None)),
    })
}

/// `vda (ext4 LABEL=x), sr0 (nothing known)`: for messages about a disk that is not there.
#[must_use]
pub fn describe(disks: &[Disk]) -> String {
    if disks.is_empty() {
        return "no disks".into();
    }
    let describe = |disk: &Disk| match &disk.filesystem {
        Some(filesystem) => format!("{} ({filesystem})", disk.device.name),
        None => format!("{} (nothing known)", disk.device.name),
    };
    disks.iter().map(describe).collect::<Vec<_>>().join(", ")
}
