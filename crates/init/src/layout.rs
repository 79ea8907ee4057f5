//! The directories of the running machine (ARCHITECTURE.md, "What is where on the running machine").

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount_bind, mount_change};

use crate::Error;
use crate::mounts::mount_at;

/// Directories of the state that are bound to the same place below `/`.
const BOUND: [&str; 4] = ["var", "home", "opt", "etc/docker"];

/// Directories below `/` with their modes, made when missing.
const DIRECTORIES: &[(&str, u32)] = &[
    ("/var/lib", 0o755),
    ("/var/lib/rancher", 0o755),
    ("/var/lib/rancher/conf", 0o700),
    ("/var/lib/rancher/conf/cloud-config.d", 0o700),
    ("/var/lib/rancher/cache", 0o755),
    ("/var/lib/rancher/preload", 0o755),
    ("/var/lib/rancher/preload/docker", 0o755),
    ("/var/lib/rancher/preload/system-docker", 0o755),
    ("/var/lib/system-docker", 0o710),
    ("/var/lib/user-docker", 0o710),
    ("/var/log", 0o755),
    ("/var/log/boot", 0o755),
    ("/var/tmp", 0o1777),
    ("/run/lock", 0o1777),
    ("/run/coracle", 0o755),
];

/// Links in `/var` that every Unix has.
const LINKS: [(&str, &str); 2] = [("/var/run", "../run"), ("/var/lock", "../run/lock")];

/// Memory for mounts and temporary files. The first two are shared with containers (inventory A2-021).
const MEMORY: [(&str, &str); 3] = [
    ("/mnt", "mode=0755,size=1m"),
    ("/media", "mode=0755,size=1m"),
    ("/tmp", "mode=1777,size=20%"),
];

/// Binds the state's directories into place and makes the rest. `state` is the mounted partition, or its `rancher.state.directory`.
///
/// # Errors
/// When a directory cannot be made or bound, for instance because the partition is full or read-only.
pub fn lay_out(state: &Path, shared: bool) -> Result<(), Error> {
    let root = Path::new("/");
    // First, so that every mount below inherits it (A2-021).
    let propagation = if shared {
        MountPropagationFlags::SHARED
    } else {
        MountPropagationFlags::PRIVATE
    };
    change(root, propagation | MountPropagationFlags::REC)?;
    for name in BOUND {
        let (from, to) = (state.join(name), root.join(name));
        fs::create_dir_all(&from).map_err(Error::io("make", &from))?;
        fs::create_dir_all(&to).map_err(Error::io("make", &to))?;
        mount_bind(&from, &to).map_err(Error::errno("bind the state to", &to))?;
        // A bind mount shares with what it was made from: what is mounted below /var would appear below /state/var, too.
        change(&to, MountPropagationFlags::PRIVATE)?;
        change(&to, propagation)?;
    }
    for (path, options) in MEMORY {
        mount_at(
            "tmpfs",
            "tmpfs",
            Path::new(path),
            MountFlags::NOSUID | MountFlags::NODEV,
            options,
        )?;
    }
    for (path, mode) in DIRECTORIES {
        make_directory(Path::new(path), *mode)?;
    }
    for (path, target) in LINKS {
        make_link(Path::new(path), target)?;
    }
    Ok(())
}

fn change(path: &Path, propagation: MountPropagationFlags) -> Result<(), Error> {
    mount_change(path, propagation).map_err(Error::errno("change the propagation of", path))
}

fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        result => result.map_err(Error::io("make", path))?,
    }
    // The process's mask has cut the mode of the new directory.
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(Error::io("set the mode of", path))
}

/// A directory that an older system left in the place of a link is kept: it may hold data.
fn make_link(path: &Path, target: &str) -> Result<(), Error> {
    match symlink(target, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(Error::io("make", path)),
    }
}
