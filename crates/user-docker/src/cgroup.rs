//! The machine's cgroup tree, as the engine needs it: all of it, writable, from the root.

use std::fs::File;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::Error;
use crate::paths::{CGROUP, ENGINE_CGROUP};

/// Leaves the container's cgroup namespace, if it has one, and mounts the whole tree. The container shares PID 1's pid
/// namespace, so `/proc/1` is PID 1. Only the calling thread changes its namespace: call it before there are others.
///
/// # Errors
/// The container is not privileged.
pub fn open_tree() -> Result<(), Error> {
    let path = "/proc/1/ns/cgroup";
    let namespace = File::open(path).map_err(Error::file("open", path))?;
    move_into_link_name_space(
        rustix::fd::AsFd::as_fd(&namespace),
        Some(LinkNameSpaceType::ControlGroup),
    )
    .map_err(Error::system("join PID 1's cgroup namespace"))?;
    if !shows_the_root() {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("cgroup2", CGROUP, "cgroup2", flags, None)
            .map_err(|error| Error::file("mount the control groups on", CGROUP)(error.into()))?;
    }
    std::fs::create_dir_all(ENGINE_CGROUP).map_err(Error::file("create", ENGINE_CGROUP))
}

/// Whether what is mounted is the tree's root, and writable: the root has no `cgroup.type` file (cgroup-v2.rst, "Core Interface Files").
fn shows_the_root() -> bool {
    let root = Path::new(CGROUP);
    let writable = rustix::fs::access(root, rustix::fs::Access::WRITE_OK).is_ok();
    writable && root.join("cgroup.procs").exists() && !root.join("cgroup.type").exists()
}

/// Moves this process into the group at `path`.
///
/// # Errors
/// There is no such group, or it is full.
pub fn enter(path: &Path) -> Result<(), Error> {
    let procs = path.join("cgroup.procs");
    std::fs::write(&procs, "0").map_err(Error::file("write", &procs))
}
