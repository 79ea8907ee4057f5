//! Device nodes beyond those that every container has.
//!
//! A privileged container has all of the machine's, a hundred and more. libcontainer makes them too, but looks each path up link by
//! link, because the image might lead it out of the container: half of the time that the first process of such a container needed
//! before its program. From inside, on the container's own `/dev`, nothing leads out.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Component, Path};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, LinuxNamespaceType, Mount, Spec};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// Made by libcontainer in any case (OCI runtime specification, "Default Devices").
const DEFAULT: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];
/// The permissions where the specification names none.
const MODE: u32 = 0o666;

/// Nodes to be made in the container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceNodes(Vec<LinuxDevice>);

impl DeviceNodes {
    /// Moves the nodes over that can be made from inside: those on a `/dev` of the container's own, as far as nothing else is mounted
    /// there, and not in a user namespace, where the kernel lets nobody make any.
    pub fn take_from(config: &mut Spec) -> Self {
        let mounts = config.mounts().clone().unwrap_or_default();
        let Some(linux) = config.linux_mut() else {
            return Self::default();
        };
        let namespaces = linux.namespaces().iter().flatten();
        let mut kinds = namespaces.map(|namespace| namespace.typ());
        if !has_own_dev(&mounts) || kinds.any(|kind| kind == LinuxNamespaceType::User) {
            return Self::default();
        }
        let devices = linux.devices().clone().unwrap_or_default();
        let (mine, theirs) = devices
            .into_iter()
            .partition(|device| is_mine(device, &mounts));
        linux.set_devices(Some(theirs));
        Self(mine)
    }

    /// Makes them. The root is the container's by now.
    ///
    /// # Errors
    /// The first that cannot be made, in words.
    pub fn make(&self) -> Result<(), String> {
        let umask = rustix::process::umask(Mode::empty());
        let made = self.0.iter().try_for_each(|device| {
            make(device).map_err(|error| format!("create {}: {error}", device.path().display()))
        });
        rustix::process::umask(umask);
        made
    }
}

fn has_own_dev(mounts: &[Mount]) -> bool {
    let mut on_dev = mounts
        .iter()
        .filter(|mount| mount.destination() == Path::new("/dev"));
    let (Some(dev), None) = (on_dev.next(), on_dev.next()) else {
        return false;
    };
    let options = dev.options().as_deref().unwrap_or_default();
    dev.typ().as_deref() == Some("tmpfs") && !options.iter().any(|option| option == "ro")
}

/// Whether `device` can be made from inside, on the container's own `/dev`.
fn is_mine(device: &LinuxDevice, mounts: &[Mount]) -> bool {
    let path = device.path();
    let is_plain = path.components().all(|part| part != Component::ParentDir);
    let below = |mount: &Mount| {
        mount.destination() != Path::new("/dev")
            && mount.destination().starts_with("/dev")
            && path.starts_with(mount.destination())
    };
    is_plain
        && path.starts_with("/dev")
        && matches!(device.typ(), LinuxDeviceType::B | LinuxDeviceType::C)
        && !DEFAULT.iter().any(|default| path == Path::new(default))
        && !mounts.iter().any(below)
}

fn make(device: &LinuxDevice) -> io::Result<()> {
    let path = device.path();
    match make_node(device) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(path.parent().unwrap_or(path))?;
            make_node(device)?;
        }
        // Given twice.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    give_to(path, device.uid(), device.gid())
}

/// With those above it, as far as they are missing.
fn make_directory(path: &Path) -> io::Result<()> {
    let make = || DirBuilder::new().mode(0o755).create(path);
    match (make(), path.parent()) {
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(parent)?;
            make()?;
        }
        (made, _) => made?,
    }
    give_to(path, None, None)
}

/// To root unless somebody else is named: this process may be another user's by now.
fn give_to(path: &Path, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    chown(path, user.or(Some(0)), group.or(Some(0)))
}

fn make_node(device: &LinuxDevice) -> io::Result<()> {
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        _ => FileType::CharacterDevice,
    };
    let number = |number: i64| u32::try_from(number).map_err(io::Error::other);
    let device_number = makedev(number(device.major())?, number(device.minor())?);
    let mode = Mode::from_raw_mode(device.file_mode().unwrap_or(MODE));
    Ok(mknodat(CWD, device.path(), kind, mode, device_number)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn left_over(mounts: Value, namespaces: Value, devices: Value) -> (Vec<String>, Vec<String>) {
        let spec = json!({
            "ociVersion": "1.2.0",
            "mounts": mounts,
            "linux": {"namespaces": namespaces, "devices": devices},
        });
        let mut spec: Spec = serde_json::from_value(spec).unwrap();
        let nodes = DeviceNodes::take_from(&mut spec);
        let paths = |devices: &[LinuxDevice]| {
            let path = |device: &LinuxDevice| device.path().display().to_string();
            devices.iter().map(path).collect()
        };
        let linux = spec.linux().clone().unwrap();
        (
            paths(&nodes.0),
            paths(&linux.devices().clone().unwrap_or_default()),
        )
    }

    #[test]
    fn nodes_on_the_containers_own_dev_are_taken_over() {
        let dev =
            |options: &[&str]| json!({"destination": "/dev", "type": "tmpfs", "options": options});
        let own = dev(&["mode=755"]);
        let volume = |path| json!({"destination": path, "type": "bind", "source": "/x"});
        let node = |path| json!({"path": path, "type": "c", "major": 1, "minor": 7});
        let fifo = json!({"path": "/dev/fifo", "type": "p"});
        let new = json!([{"type": "mount"}]);
        let user = json!([{"type": "mount"}, {"type": "user"}]);
        let (fuse, full) = ("/dev/fuse", "/dev/full");
        let cases = [
            (
                json!([own]),
                &new,
                json!([node(fuse)]),
                &[fuse][..],
                &[][..],
            ),
            (
                json!([own]),
                &new,
                json!([node(full), node(fuse)]),
                &[fuse],
                &[full],
            ),
            (json!([own]), &new, json!([fifo]), &[], &["/dev/fifo"]),
            (
                json!([own]),
                &new,
                json!([node("/dev/../x")]),
                &[],
                &["/dev/../x"],
            ),
            (json!([own]), &new, json!([node("/x")]), &[], &["/x"]),
            (json!([own]), &user, json!([node(fuse)]), &[], &[fuse]),
            (
                json!([dev(&["ro"])]),
                &new,
                json!([node(fuse)]),
                &[],
                &[fuse],
            ),
            (
                json!([volume("/dev")]),
                &new,
                json!([node(fuse)]),
                &[],
                &[fuse],
            ),
            (
                json!([own, volume("/dev")]),
                &new,
                json!([node(fuse)]),
                &[],
                &[fuse],
            ),
            (json!([]), &new, json!([node(fuse)]), &[], &[fuse]),
            (
                json!([own, volume("/dev/snd")]),
                &new,
                json!([node("/dev/snd/timer"), node("/dev/sndstat")]),
                &["/dev/sndstat"],
                &["/dev/snd/timer"],
            ),
        ];
        for (mounts, namespaces, devices, mine, theirs) in cases {
            let text = format!("{mounts} {devices}");
            assert_eq!(
                left_over(mounts, namespaces.clone(), devices),
                (
                    mine.iter().map(ToString::to_string).collect(),
                    theirs.iter().map(ToString::to_string).collect()
                ),
                "{text}"
            );
        }
    }
}
