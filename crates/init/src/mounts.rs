//! The kernel's own file systems (inventory A.3).

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::Error;

/// One mount.
#[derive(Debug)]
pub struct Mount {
    /// Kind of file system.
    pub kind: &'static str,
    /// Mount point, made when missing.
    pub target: &'static str,
    /// Flags of `mount(2)`.
    pub flags: MountFlags,
    /// Options of the file system.
    pub options: &'static str,
    /// Whether there is no booting without it.
    pub required: bool,
}

const NOSUID: MountFlags = MountFlags::NOSUID;
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const DATA: MountFlags = PLAIN.union(MountFlags::NOEXEC);

/// Mounted first, in this order.
pub const KERNEL: &[Mount] = &[
    needed("proc", "/proc", DATA, ""),
    needed("sysfs", "/sys", DATA, ""),
    needed("devtmpfs", "/dev", NOSUID, "mode=0755"),
    needed("tmpfs", "/run", PLAIN, "mode=0755"),
    // gid 5 is Debian's tty; ptmxmode so that a container that binds this one can open terminals.
    needed(
        "devpts",
        "/dev/pts",
        NOSUID.union(MountFlags::NOEXEC),
        "gid=5,mode=0620,ptmxmode=0666",
    ),
    needed("tmpfs", "/dev/shm", DATA, "size=65536k,mode=1777"),
    optional("mqueue", "/dev/mqueue", DATA, ""),
    needed(
        "cgroup2",
        "/sys/fs/cgroup",
        DATA,
        "nsdelegate,memory_recursiveprot",
    ),
    optional("bpf", "/sys/fs/bpf", DATA, "mode=0700"),
    optional("debugfs", "/sys/kernel/debug", DATA, ""),
    optional("tracefs", "/sys/kernel/tracing", DATA, ""),
    optional("securityfs", "/sys/kernel/security", DATA, ""),
    optional("pstore", "/sys/fs/pstore", DATA, ""),
    optional("efivarfs", "/sys/firmware/efi/efivars", DATA, ""),
];

const fn needed(
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: &'static str,
) -> Mount {
    Mount {
        kind,
        target,
        flags,
        options,
        required: true,
    }
}

const fn optional(
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: &'static str,
) -> Mount {
    Mount {
        kind,
        target,
        flags,
        options,
        required: false,
    }
}

/// Mounts a table. Something that is mounted already is fine.
///
/// # Errors
/// When a required one cannot be mounted.
pub fn mount_all(table: &[Mount]) -> Result<(), Error> {
    for entry in table {
        let target = Path::new(entry.target);
        // On sysfs no directory can be made: the kernel has it or lacks the feature.
        let _ = fs::create_dir(target);
        match mount_at(entry.kind, entry.kind, target, entry.flags, entry.options) {
            Err(error) if entry.required => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// One `mount(2)`, with an error that says what and where. `EBUSY` means that it is mounted there already.
///
/// # Errors
/// The kernel's.
pub fn mount_at(
    source: &str,
    kind: &str,
    target: &Path,
    flags: MountFlags,
    options: &str,
) -> Result<(), Error> {
    let failed = |source: std::io::Error| Error::Mount {
        what: kind.to_owned(),
        target: target.to_owned(),
        source,
    };
    let data =
        CString::new(options).map_err(|_| failed(std::io::ErrorKind::InvalidInput.into()))?;
    match mount(source, target, kind, flags, data.as_c_str()) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Mount points of the calling process below `root`, innermost last mounted first (`/proc/self/mountinfo`, proc_pid_mountinfo(5)).
#[must_use]
pub fn mount_points() -> Vec<PathBuf> {
    let mut points =
        parse_mountinfo(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    points.reverse();
    points
}

fn parse_mountinfo(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .collect()
}

/// Space, tab, newline and backslash are octal escapes.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| after.get(..3)).flatten();
        match escaped
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok())
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        let text = "22 1 0:21 / / rw - tmpfs tmpfs rw\n30 22 8:1 / /mnt/a\\040b\\134 rw shared:1 - ext4 /dev/sda1 rw\n";
        assert_eq!(
            parse_mountinfo(text),
            [PathBuf::from("/"), PathBuf::from("/mnt/a b\\")]
        );
    }

    #[test]
    fn parents_are_mounted_before_their_children() {
        for (i, mount) in KERNEL.iter().enumerate() {
            let later_parent = KERNEL[i + 1..]
                .iter()
                .any(|m| Path::new(mount.target).starts_with(m.target));
            assert!(!later_parent, "{}", mount.target);
        }
    }
}
