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
/// # Errors
/// The container is not privileged.
pub fn open_tree() -> Result<Groups, Error> {
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
    let groups = Groups::of(&std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
    // Groups of containers before this one; those with shims in them cannot be removed, which is right.
    for entry in std::fs::read_dir(ENGINE_CGROUPS)
        .into_iter()
        .flatten()
        .flatten()
    {
        let _ = std::fs::remove_dir(entry.path());
    }
    let containerd = &groups.containerd;
    std::fs::create_dir_all(containerd).map_err(Error::file("create", containerd))?;
    Ok(groups)
}

/// The control groups of the engine.
#[derive(Debug, PartialEq, Eq)]
pub struct Groups {
    /// The container's, with the supervisor and dockerd in it.
    pub own: PathBuf,
    /// Of containerd and its shims, named for the container that they belong to.
    pub containerd: PathBuf,
}

impl Groups {
    /// From the text of `/proc/self/cgroup`.
    fn of(proc: &str) -> Self {
        let path = proc.lines().find_map(|line| line.strip_prefix("0::/"));
        let path = Path::new(path.unwrap_or_default());
        let name = path.file_name().unwrap_or("engine".as_ref());
        Self {
            own: Path::new(CGROUP).join(path),
            containerd: Path::new(ENGINE_CGROUPS).join(name),
        }
    }
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
    fn the_groups_are_named_for_the_container() {
        let table = [
            (
                "0::/system-docker/8f3a\n",
                "/sys/fs/cgroup/system-docker/8f3a",
                "/sys/fs/cgroup/user-docker/8f3a",
            ),
            (
                "1:name=systemd:/x\n0::/\n",
                "/sys/fs/cgroup",
                "/sys/fs/cgroup/user-docker/engine",
            ),
            ("", "/sys/fs/cgroup", "/sys/fs/cgroup/user-docker/engine"),
        ];
        for (proc, own, containerd) in table {
            let expected = Groups {
                own: own.into(),
                containerd: containerd.into(),
            };
            assert_eq!(Groups::of(proc), expected, "{proc:?}");
        }
    }
}
