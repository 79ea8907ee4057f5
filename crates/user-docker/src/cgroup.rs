//! The machine's cgroup tree, as the engine needs it: all of it, writable, from the root.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::Error;
use crate::paths::{CGROUP, ENGINE_CGROUPS};

/// Leaves the container's cgroup namespace, if it has one, and mounts the whole tree. The container shares PID 1's pid
/// namespace, so `/proc/1` is PID 1. Only the calling thread changes its namespace: call it before there are others.
///
/// Returns the group for containerd and its shims, which exists then.
///
/// # Errors
/// The container is not privileged.
pub fn open_tree() -> Result<PathBuf, Error> {
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
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = engine_group(&own);
    // Groups of containers before this one; those with shims in them cannot be removed, which is right.
    for entry in std::fs::read_dir(ENGINE_CGROUPS)
        .into_iter()
        .flatten()
        .flatten()
    {
        let _ = std::fs::remove_dir(entry.path());
    }
    std::fs::create_dir_all(&group).map_err(Error::file("create", &group))?;
    Ok(group)
}

/// The group of containerd and its shims, named for the container that they belong to, from the text of
/// `/proc/self/cgroup`.
fn engine_group(own: &str) -> PathBuf {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"));
    let name = path.and_then(|path| Path::new(path).file_name());
    Path::new(ENGINE_CGROUPS).join(name.unwrap_or("engine".as_ref()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_named_for_the_container() {
        let table = [
            (
                "0::/system-docker/8f3a\n",
                "/sys/fs/cgroup/user-docker/8f3a",
            ),
            (
                "1:name=systemd:/x\n0::/\n",
                "/sys/fs/cgroup/user-docker/engine",
            ),
            ("", "/sys/fs/cgroup/user-docker/engine"),
        ];
        for (own, expected) in table {
            assert_eq!(engine_group(own), Path::new(expected), "{own:?}");
        }
    }
}
