//! Leaving the initrd: a new root with the system on `/usr`, the same process, another binary.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::mount::{MountFlags, mount_move};
use rustix::process::{chdir, chroot};

use crate::Error;
use crate::mounts::mount_at;

/// Where the new root is assembled.
pub const NEW_ROOT: &str = "/new-root";
/// What runs there as PID 1.
const NEXT: &str = "/usr/bin/coracle";
/// Mounts that move along.
const MOVED: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];
/// Links of the new root into `/usr` (ARCHITECTURE.md, "What is where").
const LINKS: [(&str, &str); 4] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib"),
];

/// Makes the new root: a small tmpfs. The system image is mounted on its `usr` next.
///
/// # Errors
/// When it cannot be mounted or filled.
pub fn prepare() -> Result<(), Error> {
    let root = Path::new(NEW_ROOT);
    fs::create_dir_all(root).map_err(Error::io("make", root))?;
    if fs::symlink_metadata(root.join("usr")).is_ok() {
        return Ok(());
    }
    mount_at(
        "root",
        "tmpfs",
        root,
        MountFlags::empty(),
        "size=16m,mode=0755",
    )?;
    for directory in MOVED.iter().copied().chain([
        "/usr", "/etc", "/tmp", "/root", "/state", "/var", "/home", "/opt", "/mnt", "/media",
    ]) {
        let path = root.join(directory.trim_start_matches('/'));
        fs::create_dir_all(&path).map_err(Error::io("make", &path))?;
    }
    for (name, target) in LINKS {
        let path = root.join(name);
        symlink(target, &path).map_err(Error::io("make", &path))?;
    }
    Ok(())
}

/// Reads the next binary whole, so that a damaged image is found while there is still a shell to offer. On two processors: nearly all
/// of it is unpacking.
///
/// # Errors
/// When it is missing or cannot be read.
pub fn check_next() -> Result<(), Error> {
    let path = Path::new(NEW_ROOT).join(NEXT.trim_start_matches('/'));
    let check = || {
        let file = fs::File::open(&path)?;
        let middle = file.metadata()?.len() / 2;
        thread::scope(|scope| {
            let second = scope.spawn(|| read(&file, middle..u64::MAX));
            let first = read(&file, 0..middle);
            let second = second.join().unwrap_or_else(|panic| resume_unwind(panic));
            first.and(second)
        })
    };
    check().map_err(|source| Error::DamagedSystem {
        path: path.clone(),
        source,
    })
}

/// Reads a part of a file, to its end at most.
fn read(file: &fs::File, part: Range<u64>) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    let mut at = part.start;
    while at < part.end {
        match file.read_at(&mut buffer, at)? {
            0 => break,
            length => at += length as u64,
        }
    }
    Ok(())
}

/// Moves to the new root, frees the initrd and executes the next binary. Returns only when that fails.
pub fn switch(arguments: &[&str]) -> Error {
    match enter() {
        Ok(()) => {
            let error = Command::new(NEXT).arg0("coracle").args(arguments).exec();
            Error::io("execute", Path::new(NEXT))(error)
        }
        Err(error) => error,
    }
}

fn enter() -> Result<(), Error> {
    let new_root = Path::new(NEW_ROOT);
    for mount in MOVED {
        let target = new_root.join(mount.trim_start_matches('/'));
        mount_move(mount, &target).map_err(Error::errno("move mount to", &target))?;
    }
    chdir(new_root).map_err(Error::errno("enter", new_root))?;
    free_initrd(Path::new("/"));
    mount_move(".", "/").map_err(Error::errno("move the new root to", Path::new("/")))?;
    chroot(".").map_err(Error::errno("change root to", new_root))?;
    chdir("/").map_err(Error::errno("enter", Path::new("/")))
}

/// Removes everything on the initrd's own file system. What cannot be removed costs memory, nothing else.
fn free_initrd(directory: &Path) {
    let Ok(device) = fs::symlink_metadata(directory).map(|metadata| metadata.dev()) else {
        return;
    };
    remove_below(directory, device);
}

fn remove_below(directory: &Path, device: u64) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.dev() != device => {}
            Ok(metadata) if metadata.is_dir() => {
                remove_below(&path, device);
                let _ = fs::remove_dir(&path);
            }
            _ => drop(fs::remove_file(&path)),
        }
    }
}
