//! User data from a volume: finding and mounting it; [`coracle_datasource`] reads it (inventory A.5, C2-009, C1-008).

use std::fs;
use std::path::Path;

use coracle_datasource::{Source, parse_list, save};
use coracle_disk::{Kind, ninep_tags};
use rustix::mount::{MountFlags, UnmountFlags, unmount};

use crate::Error;
use crate::consoles::Consoles;
use crate::disks::Disk;
use crate::modules::Loader;
use crate::mounts::mount_at;

/// Where the volume is mounted while it is read.
const VOLUME: &str = "/run/coracle/user-data";

/// The datasources that can be read, of those that are configured. The others are named on the consoles.
pub fn sources(names: &[String], consoles: &Consoles) -> Vec<Source> {
    let (sources, unknown) = parse_list(names);
    if !unknown.is_empty() {
        consoles.say(&format!(
            "rancher.cloud_init.datasources: {} cannot be read yet; configdrive and nocloud can",
            unknown.join(", ")
        ));
    }
    sources
}

/// Reads the first volume of these datasources that is there and keeps what it says; false when there is none. Then what an
/// earlier boot kept stays (A5-015).
///
/// # Errors
/// When a volume is there but cannot be mounted, or the result cannot be kept. What is wrong inside it is said on the consoles.
pub fn fetch(
    sources: &[Source],
    disks: &[Disk],
    loader: &Loader,
    consoles: &Consoles,
) -> Result<bool, Error> {
    for &source in sources {
        let volume = disks.iter().find_map(|disk| {
            let filesystem = disk.filesystem.as_ref()?;
            // ISO 9660 and FAT write labels in capitals.
            let labelled = filesystem
                .label
                .as_deref()
                .is_some_and(|label| label.eq_ignore_ascii_case(source.label()));
            (labelled && is_readable(filesystem.kind)).then(|| {
                (
                    disk.device.node.display().to_string(),
                    filesystem.kind.name(),
                    filesystem.kind.module(),
                )
            })
        });
        let volume = match volume {
            None if source == Source::ConfigDrive => {
                share(source.label(), loader).map(|tag| (tag, "9p", "9p"))
            }
            volume => volume,
        };
        if let Some((device, kind, module)) = volume {
            // Built in, or not needed: mounting tells.
            let _ = loader.load(module);
            return read(source, &device, kind, consoles).map(|()| true);
        }
    }
    Ok(false)
}

fn is_readable(kind: Kind) -> bool {
    matches!(kind, Kind::Iso9660 | Kind::Vfat | Kind::Ext4)
}

/// A 9p share with this tag. Its driver is loaded only on machines that have such a device.
fn share(tag: &str, loader: &Loader) -> Option<String> {
    const VIRTIO_9P: &str = "0x0009";
    let devices = fs::read_dir("/sys/bus/virtio/devices").ok()?;
    let there = devices.flatten().any(|device| {
        fs::read_to_string(device.path().join("device")).is_ok_and(|id| id.trim() == VIRTIO_9P)
    });
    if !there || loader.load("9pnet_virtio").is_err() || loader.load("9p").is_err() {
        return None;
    }
    ninep_tags().into_iter().find(|own| own == tag)
}

fn read(source: Source, device: &str, kind: &str, consoles: &Consoles) -> Result<(), Error> {
    let directory = Path::new(VOLUME);
    fs::create_dir_all(directory).map_err(Error::io("make", directory))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = if kind == "9p" {
        "trans=virtio,version=9p2000.L"
    } else {
        ""
    };
    mount_at(device, kind, directory, flags, options)?;
    let (fetched, problems) = source.read(directory);
    // Nothing on it is open any more; should that fail, the volume stays mounted read-only.
    let _ = unmount(directory, UnmountFlags::DETACH);
    for problem in &problems {
        consoles.say(&format!("{source} on {device}: {problem}"));
    }
    save(Path::new("/"), &fetched, !problems.is_empty())?;
    Ok(())
}
