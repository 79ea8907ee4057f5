//! Which devices a container has and may use.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{major, minor};

use crate::Error;

/// Character devices that every container may use, by number; `None` is any.
const ALWAYS_ALLOWED: [(i64, Option<i64>); 9] = [
    (1, Some(3)), // null
    (1, Some(5)), // zero
    (1, Some(7)), // full
    (1, Some(8)), // random
    (1, Some(9)), // urandom
    (5, Some(0)), // tty
    (5, Some(1)), // console
    (5, Some(2)), // ptmx
    (136, None),  // pts
];

/// Docker's default device rules: nothing, except making nodes and the harmless devices of every container.
pub fn default_rules() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{B, C};
    let mut rules = vec![
        rule(false, None, None, None, "rwm"),
        rule(true, Some(C), None, None, "m"),
        rule(true, Some(B), None, None, "m"),
    ];
    rules.extend(
        ALWAYS_ALLOWED.map(|(major, minor)| rule(true, Some(C), Some(major), minor, "rwm")),
    );
    rules
}

/// The one rule of a privileged container: everything.
pub fn privileged_rules() -> Vec<LinuxDeviceCgroup> {
    vec![rule(true, None, None, None, "rwm")]
}

fn rule(
    allow: bool,
    kind: Option<LinuxDeviceType>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow)
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_access(Some(access.to_owned()));
    rule
}

/// The device nodes of a privileged container: everything under `dev` except terminals, pseudo file systems and what
/// the runtime makes itself.
///
/// # Errors
/// When `dev` cannot be read.
pub fn host_devices(dev: &Path) -> Result<Vec<LinuxDevice>, Error> {
    let mut found = Vec::new();
    collect(dev, dev, Path::new("/dev"), &mut found)?;
    Ok(found)
}

/// Names directly below `/dev` that are left out: own mounts of the container, or not the host's to give.
const LEFT_OUT: [&str; 8] = [
    "pts",
    "shm",
    "fd",
    "mqueue",
    "console",
    "ptmx",
    ".udev",
    "hugepages",
];

fn collect(
    top: &Path,
    directory: &Path,
    target: &Path,
    found: &mut Vec<LinuxDevice>,
) -> Result<(), Error> {
    let entries = fs::read_dir(directory).map_err(Error::io("read", directory))?;
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    for name in names {
        if directory == top && LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let (path, target) = (directory.join(&name), target.join(&name));
        // Devices come and go: what has just gone is no error.
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => collect(top, &path, &target, found)?,
            Ok(metadata) => found.extend(node(&metadata, &target)),
            Err(_) => {}
        }
    }
    Ok(())
}

/// The device that a file is, to be made at `target`.
fn node(metadata: &fs::Metadata, target: &Path) -> Option<LinuxDevice> {
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_char_device() => LinuxDeviceType::C,
        () if kind.is_block_device() => LinuxDeviceType::B,
        () => return None,
    };
    LinuxDeviceBuilder::default()
        .path(target)
        .typ(kind)
        .major(i64::from(major(metadata.rdev())))
        .minor(i64::from(minor(metadata.rdev())))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .ok()
}

/// A device of `--device PathOnHost:PathInContainer:CgroupPermissions`, with the rules that go with it; a directory
/// gives all devices under it.
///
/// # Errors
/// [`Error::Device`] in Docker's words when it does not exist or is no device.
pub fn from_host(
    path_on_host: &Path,
    path_in_container: &Path,
    permissions: &str,
) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>), Error> {
    let permissions = if permissions.is_empty() {
        "rwm"
    } else {
        permissions
    };
    if !is_access(permissions) {
        return Err(Error::Device(format!("invalid device mode: {permissions}")));
    }
    let fail = |reason: String| {
        Error::Device(format!(
            "error gathering device information while adding custom device \"{}\": {reason}",
            path_on_host.display()
        ))
    };
    // Follows links, as users give /dev/disk/by-label/….
    let metadata = fs::metadata(path_on_host).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fail("no such file or directory".to_owned()),
        _ => fail(error.to_string()),
    })?;
    let mut devices = Vec::new();
    if metadata.is_dir() {
        collect(Path::new(""), path_on_host, path_in_container, &mut devices)?;
    } else {
        devices.extend(node(&metadata, path_in_container));
    }
    if devices.is_empty() {
        return Err(fail("not a device node".to_owned()));
    }
    let rules = devices
        .iter()
        .map(|d| {
            rule(
                true,
                Some(d.typ()),
                Some(d.major()),
                Some(d.minor()),
                permissions,
            )
        })
        .collect();
    Ok((devices, rules))
}

/// A rule of `--device-cgroup-rule`, for example `c 42:* rmw`.
///
/// # Errors
/// [`Error::Device`] when it is not of that form.
pub fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, Error> {
    let parse = || {
        let [kind, numbers, access] =
            <[&str; 3]>::try_from(text.split(' ').collect::<Vec<_>>()).ok()?;
        let kind = match kind {
            "a" => None,
            "b" => Some(LinuxDeviceType::B),
            "c" => Some(LinuxDeviceType::C),
            _ => return None,
        };
        let (major, minor) = numbers.split_once(':')?;
        let number = |text: &str| match text {
            "*" => Some(None),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<u32>().ok().map(|n| Some(i64::from(n)))
            }
            _ => None,
        };
        let (major, minor) = (number(major)?, number(minor)?);
        is_access(access).then(|| rule(true, kind, major, minor, access))
    };
    parse().ok_or_else(|| Error::Device(format!("invalid device cgroup rule format: '{text}'")))
}

fn is_access(text: &str) -> bool {
    (1..=3).contains(&text.len())
        && text.bytes().all(|b| b"rwm".contains(&b))
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| !text.as_bytes()[..i].contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_command_line() {
        for (text, expected) in [
            ("c 42:* rmw", "c 42:* rmw"),
            ("b 8:1 r", "b 8:1 r"),
            ("a *:* rwm", "a *:* rwm"),
        ] {
            assert_eq!(parse_rule(text).unwrap().to_string(), expected);
        }
        for text in [
            "", "c", "c 1:1", "d 1:1 r", "c 1:x r", "c 1 r", "c -1:1 r", "c 1:1 rr", "c 1:1 x",
            "c  1:1 r",
        ] {
            let message = parse_rule(text).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("invalid device cgroup rule format: '{text}'")
            );
        }
    }

    #[test]
    fn a_device_of_the_host_comes_with_its_rule() {
        let (devices, rules) = from_host("/dev/zero".as_ref(), "/dev/other".as_ref(), "r").unwrap();
        assert_eq!(
            (devices.len(), devices[0].path().as_path()),
            (1, Path::new("/dev/other"))
        );
        assert_eq!((devices[0].major(), devices[0].minor()), (1, 5));
        assert_eq!(rules[0].to_string(), "c 1:5 r");
        for (path, mode, reason) in [
            (
                "/dev/nope",
                "r",
                "error gathering device information while adding custom device \"/dev/nope\": no such file or directory",
            ),
            (
                "/etc/passwd",
                "r",
                "error gathering device information while adding custom device \"/etc/passwd\": not a device node",
            ),
            ("/dev/zero", "x", "invalid device mode: x"),
        ] {
            assert_eq!(
                from_host(path.as_ref(), path.as_ref(), mode)
                    .unwrap_err()
                    .to_string(),
                reason
            );
        }
    }

    #[test]
    fn privileged_containers_get_the_hosts_devices_without_terminals() {
        let paths: Vec<_> = host_devices("/dev".as_ref())
            .unwrap()
            .iter()
            .map(|d| d.path().display().to_string())
            .collect();
        assert!(paths.contains(&"/dev/null".to_owned()), "{paths:?}");
        assert!(
            !paths
                .iter()
                .any(|p| p.starts_with("/dev/pts/") || p == "/dev/console"),
            "{paths:?}"
        );
    }
}
