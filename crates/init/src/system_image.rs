//! Finding `system.erofs`, the read-only system, on whichever medium it is (ARCHITECTURE.md).
//!
//! The initrd knows the UUID of the image that was built with it. Anything else is not mounted but named in the error.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_disk::{BlockDevice, Kind, block_devices, erofs_superblock, probe};
use rustix::fs::{major, minor};
use rustix::mount::{MountFlags, UnmountFlags, unmount};

use crate::Error;
use crate::consoles::Consoles;
use crate::devices::Devices;
use crate::mounts::mount_at;
use crate::urgency::Urgency;

/// The UUID that this initrd belongs to; without it any image labelled [`LABEL`] will do.
pub const UUID_FILE: &str = "/etc/coracle/system.uuid";
/// An image in the initrd itself, for booting over a network.
const IN_INITRD: &str = "/system.erofs";
/// An image on a volume.
const ON_VOLUME: &str = "coracle/system.erofs";
/// Label of the image and of media that carry it.
const LABEL: &str = "CORACLE";
const VOLUME_LABELS: [&str; 2] = [LABEL, "RANCHER_BOOT"];
/// Where the medium stays mounted.
const MEDIUM: &str = "/run/coracle/medium";
/// How much is read at once, in KiB. The image is packed in pieces of 256 KiB: with the kernel's 128 each is waited for by itself, and
/// one processor unpacks it; with more the next ones are on their way.
const READ_AHEAD: &str = "512";
/// USB disks take seconds to appear.
const LIMIT: Duration = Duration::from_secs(30);
/// After this long the console says what is being waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Finds the image and mounts it at `target`.
///
/// # Errors
/// When it does not appear in time, or cannot be mounted. The text lists every candidate and why it was not taken.
pub fn mount_system(devices: &Devices, consoles: &Consoles, target: &Path) -> Result<(), Error> {
    let mut search = Search {
        devices,
        wanted: wanted_uuid(),
        target,
        rejected: BTreeMap::new(),
    };
    if search.try_file(Path::new(IN_INITRD), "the initrd")? {
        return Ok(());
    }
    // Other drivers take longer, and have to end before the next binary can be executed: only if they are needed.
    devices.settle(Urgency::FastDisk, PATIENCE);
    if search.look().is_some() {
        return Ok(());
    }
    devices.allow(Urgency::Rest);
    let found = devices.wait_for(PATIENCE, || search.look()).or_else(|| {
        consoles.say(&format!(
            "waiting for a disk with system.erofs ({})",
            search.wanted_text()
        ));
        devices.wait_for(limit(), || search.look())
    });
    found.ok_or_else(|| search.not_found(devices))
}

/// `rootdelay=` makes it longer, as in kernels without an initrd (A9-042).
fn limit() -> Duration {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let delay = coracle_config::cmdline::split(&line)
        .iter()
        .find_map(|argument| argument.strip_prefix("rootdelay=")?.parse().ok())
        .unwrap_or(0);
    LIMIT.max(Duration::from_secs(delay))
}

fn wanted_uuid() -> Option<String> {
    fs::read_to_string(UUID_FILE)
        .ok()
        .map(|text| text.trim().to_ascii_lowercase())
        .filter(|uuid| !uuid.is_empty())
}

struct Search<'a> {
    devices: &'a Devices,
    wanted: Option<String>,
    target: &'a Path,
    /// Why a candidate was not taken, by its name.
    rejected: BTreeMap<String, String>,
}

impl Search<'_> {
    fn wanted_text(&self) -> String {
        self.wanted
            .as_ref()
            .map_or_else(|| format!("label {LABEL}"), |uuid| format!("UUID {uuid}"))
    }

    /// Looks at every block device once; the result is `Some` when the image is mounted.
    fn look(&mut self) -> Option<()> {
        block_devices()
            .into_iter()
            .find_map(|device| self.try_device(&device))
            .or(None)
    }

    fn try_device(&mut self, device: &BlockDevice) -> Option<()> {
        let name = device.node.display().to_string();
        if self.rejected.contains_key(&name) {
            return None;
        }
        let filesystem = match File::open(&device.node).and_then(|file| probe(&file)) {
            Ok(found) => found?,
            Err(error) => {
                self.rejected
                    .insert(name, format!("cannot be read: {error}"));
                return None;
            }
        };
        let label_fits = VOLUME_LABELS
            .iter()
            .any(|label| filesystem.has_label(label));
        let taken = match filesystem.kind {
            Kind::Erofs => self.try_file(&device.node, &name),
            Kind::Iso9660 | Kind::Vfat | Kind::Ext4 if label_fits => {
                self.try_volume(device, filesystem.kind)
            }
            _ => return None,
        };
        match taken {
            Ok(true) => Some(()),
            Ok(false) => None,
            Err(error) => {
                self.rejected.insert(name, error.to_string());
                None
            }
        }
    }

    /// Mounts the volume on `device` and takes the image on it; unmounts it again when that is not the one.
    fn try_volume(&mut self, device: &BlockDevice, kind: Kind) -> Result<bool, Error> {
        let medium = Path::new(MEDIUM);
        fs::create_dir_all(medium).map_err(Error::io("make", medium))?;
        load(self.devices, kind.module())?;
        let source = device.node.display().to_string();
        let flags =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount_at(&source, kind.name(), medium, flags, "")?;
        let image = medium.join(ON_VOLUME);
        let taken = if image.exists() {
            self.try_file(&image, &source)
        } else {
            self.rejected
                .insert(source, format!("has no file {ON_VOLUME}"));
            Ok(false)
        };
        if !matches!(taken, Ok(true)) {
            let _ = unmount(medium, UnmountFlags::DETACH);
        }
        taken
    }

    /// Mounts the image in `path`, a file or a device, when it is the right one and whole.
    fn try_file(&mut self, path: &Path, place: &str) -> Result<bool, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        let mut reject = |reason: String| {
            self.rejected.insert(place.to_owned(), reason);
            Ok(false)
        };
        let superblock = match erofs_superblock(&file) {
            Ok(Some(superblock)) => superblock,
            Ok(None) => {
                return reject("system.erofs there is damaged: it has no EROFS superblock".into());
            }
            Err(error) => return reject(format!("cannot be read: {error}")),
        };
        let fits = match &self.wanted {
            Some(wanted) => superblock.uuid.as_ref() == Some(wanted),
            None => superblock.label == LABEL,
        };
        if !fits {
            let uuid = superblock.uuid.as_deref().unwrap_or("none");
            return reject(format!(
                "system.erofs there is of another build (UUID {uuid})"
            ));
        }
        let length = size_of(path, &file);
        if length < superblock.size {
            return reject(format!(
                "system.erofs there is cut short: {length} of {} bytes",
                superblock.size
            ));
        }
        drop(file);
        load(self.devices, "erofs")?;
        self.mount_image(path)?;
        Ok(true)
    }

    fn mount_image(&self, path: &Path) -> Result<(), Error> {
        fs::create_dir_all(self.target).map_err(Error::io("make", self.target))?;
        let flags = MountFlags::RDONLY | MountFlags::NODEV;
        let source = path.display().to_string();
        match mount_at(&source, "erofs", self.target, flags, "") {
            // EROFS reads a file through its address space, which tmpfs does not offer; ramfs does.
            Err(Error::Mount { source: error, .. })
                if path == Path::new(IN_INITRD)
                    && error.raw_os_error() != Some(rustix::io::Errno::UCLEAN.raw_os_error()) =>
            {
                let moved = move_to_ramfs(path)?;
                mount_at(
                    &moved.display().to_string(),
                    "erofs",
                    self.target,
                    flags,
                    "",
                )
            }
            result => result,
        }?;
        read_ahead(self.target);
        Ok(())
    }

    fn not_found(&self, devices: &Devices) -> Error {
        let mut seen: Vec<String> = self
            .rejected
            .iter()
            .map(|(name, reason)| format!("  {name}: {reason}"))
            .collect();
        for device in block_devices() {
            let name = device.node.display().to_string();
            if !self.rejected.contains_key(&name) {
                let holds = File::open(&device.node)
                    .ok()
                    .and_then(|file| probe(&file).ok().flatten());
                let holds = holds.map_or_else(
                    || "nothing known".to_owned(),
                    |filesystem| filesystem.to_string(),
                );
                seen.push(format!("  {name}: {holds}"));
            }
        }
        seen.extend(
            devices
                .failures()
                .into_iter()
                .map(|failure| format!("  {failure}")),
        );
        if seen.is_empty() {
            seen.push("  no disks at all".into());
        }
        Error::NoSystem {
            wanted: self.wanted_text(),
            seen: seen.join("\n"),
        }
    }
}

/// Only a wish: without it the machine is slower.
fn read_ahead(mounted: &Path) {
    let Ok(metadata) = fs::metadata(mounted) else {
        return;
    };
    let (major, minor) = (major(metadata.dev()), minor(metadata.dev()));
    let _ = fs::write(
        format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"),
        READ_AHEAD,
    );
}

fn size_of(path: &Path, file: &File) -> u64 {
    let metadata = file.metadata().ok();
    match metadata {
        Some(metadata) if metadata.is_file() => metadata.len(),
        _ => {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            coracle_disk::block_device(&name).map_or(0, |device| device.size)
        }
    }
}

fn load(devices: &Devices, module: &str) -> Result<(), Error> {
    match devices.loader().load(module) {
        // A kernel that has it built in says so by mounting.
        Err(Error::UnknownModule { .. }) => Ok(()),
        result => result,
    }
}

/// Moves a file from the initrd's tmpfs to a ramfs piece by piece from its end, so that memory never holds two copies.
fn move_to_ramfs(from: &Path) -> Result<PathBuf, Error> {
    use std::os::unix::fs::FileExt;

    const PIECE: u64 = 1 << 20;
    let directory = Path::new(MEDIUM);
    fs::create_dir_all(directory).map_err(Error::io("make", directory))?;
    mount_at(
        "ramfs",
        "ramfs",
        directory,
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        "",
    )?;
    let to = directory.join("system.erofs");
    let source = File::options()
        .read(true)
        .write(true)
        .open(from)
        .map_err(Error::io("open", from))?;
    let copy = File::create_new(&to).map_err(Error::io("make", &to))?;
    let mut end = source.metadata().map_err(Error::io("read", from))?.len();
    let mut buffer = vec![0; PIECE as usize];
    while end > 0 {
        let start = (end - 1) / PIECE * PIECE;
        // At most PIECE, which fits.
        let piece = &mut buffer[..(end - start) as usize];
        source
            .read_exact_at(piece, start)
            .map_err(Error::io("read", from))?;
        copy.write_all_at(piece, start)
            .map_err(Error::io("write", &to))?;
        source.set_len(start).map_err(Error::io("shorten", from))?;
        end = start;
    }
    fs::remove_file(from).map_err(Error::io("remove", from))?;
    Ok(to)
}
