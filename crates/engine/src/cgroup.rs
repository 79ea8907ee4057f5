//! Control groups of containers, version 2: one directory per container under the engine's parent group.
//!
//! Only files that exist are written, so that the engine also works in a tree without controllers (its tests run in
//! one).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Doing, Error, Result};
use crate::signals;

/// Controllers that containers are given when the kernel has them.
const CONTROLLERS: &[&str] = &["cpu", "cpuset", "io", "memory", "pids"];
/// How long killed processes may take to leave a group: those that wait for a disk or a server take theirs.
const LEAVING: Duration = Duration::from_secs(5);
/// `CGROUP2_SUPER_MAGIC`, `linux/magic.h`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// The cgroup2 hierarchy and the engine's part of it.
#[derive(Debug)]
pub struct Cgroups {
    mount: PathBuf,
    parent: String,
    controllers: Vec<String>,
}

impl Cgroups {
    /// Finds the hierarchy and makes the group `parent` (for example `/system-docker`) with every available controller.
    ///
    /// # Errors
    /// When no cgroup2 hierarchy is mounted or it cannot be written.
    pub fn new(parent: &str) -> Result<Self> {
        let mount = hierarchy().ok_or_else(|| {
            Error::Internal(
                "no cgroup v2 hierarchy is mounted: mount one at /sys/fs/cgroup".to_owned(),
            )
        })?;
        let parent = format!("/{}", parent.trim_matches('/'));
        let group = mount.join(&parent[1..]);
        fs::create_dir_all(&group).doing(|| format!("make control group {}", group.display()))?;
        let mut dir = mount.clone();
        enable_controllers(&dir);
        for part in parent[1..].split('/') {
            dir.push(part);
            enable_controllers(&dir);
        }
        let controllers = read_words(&group.join("cgroup.subtree_control"));
        Ok(Self {
            mount,
            parent,
            controllers,
        })
    }

    /// Whether containers have this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// Ends what a former engine's containers have left in the groups under the parent, but for those that go on: first all
    /// are killed, then all are removed, also those of containers that are gone. Blocks as [`Cgroup::remove`].
    pub fn clear(&self, goes_on: impl Fn(&str) -> bool) {
        // A client may have put containers into groups of its own below the parent.
        let is_leftover = |dir: &PathBuf| {
            let id = dir.file_name().and_then(|name| name.to_str());
            id.is_some_and(|id| id.len() == 64 && !goes_on(id))
        };
        let groups: Vec<Cgroup> = children(&self.mount.join(&self.parent[1..]))
            .into_iter()
            .filter(is_leftover)
            .map(|dir| Cgroup {
                path: format!(
                    "/{}",
                    dir.strip_prefix(&self.mount).unwrap_or(&dir).display()
                ),
                dir,
            })
            .collect();
        for group in &groups {
            group.kill();
        }
        for group in &groups {
            group.remove();
        }
    }

    /// The group of container `id`; `parent` is `HostConfig.CgroupParent`.
    pub fn container(&self, id: &str, parent: Option<&str>) -> Cgroup {
        let parent = match parent {
            Some(parent) if !parent.is_empty() => crate::mounts::clean(parent),
            _ => self.parent.clone(),
        };
        let path = format!("{}/{id}", parent.trim_end_matches('/'));
        Cgroup {
            dir: self.mount.join(&path[1..]),
            path,
        }
    }
}

/// The directory of the group `parent`, if it exists.
pub fn find(parent: &str) -> Option<PathBuf> {
    let group = hierarchy()?.join(parent.trim_matches('/'));
    group.is_dir().then_some(group)
}

/// Where the hierarchy is mounted.
fn hierarchy() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| is_cgroup2(path))
}

fn is_cgroup2(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == CGROUP2_MAGIC)
}

/// Best effort: in a tree that is not ours some controllers cannot be handed on.
fn enable_controllers(dir: &Path) {
    let available = read_words(&dir.join("cgroup.controllers"));
    for controller in CONTROLLERS
        .iter()
        .filter(|name| available.iter().any(|word| word == *name))
    {
        if let Err(error) = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"))
        {
            tracing::debug!(
                "hand on controller {controller} in {}: {error}",
                dir.display()
            );
        }
    }
}

fn read_words(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// One container's control group.
#[derive(Clone, Debug)]
pub struct Cgroup {
    dir: PathBuf,
    path: String,
}

impl Cgroup {
    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its path in the hierarchy, absolute (OCI: `linux.cgroupsPath`).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Makes the group, empty of what a former run may have left.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self) -> Result<()> {
        if self.dir.exists() {
            self.kill();
            self.remove();
        }
        if let Some(parent) = self.dir.parent() {
            fs::create_dir_all(parent)
                .doing(|| format!("make control group {}", parent.display()))?;
            enable_controllers(parent);
        }
        fs::create_dir_all(&self.dir).doing(|| format!("make control group {}", self.dir.display()))
    }

    /// Writes settings (file name and value), leaving out files that this kernel does not have.
    ///
    /// # Errors
    /// When the kernel refuses a value.
    pub fn apply(&self, settings: &[(String, String)]) -> Result<()> {
        for (file, value) in settings {
            match fs::write(self.dir.join(file), value) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // Creating files is not possible in this file system: the controller is not there.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && !self.dir.join(file).exists() => {}
                result => result.doing(|| format!("set {file} to {value}"))?,
            }
        }
        Ok(())
    }

    /// The text of one of its files; empty when it does not exist.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }

    /// The value of `key` in a file of `key value` lines.
    pub fn read_key(&self, file: &str, key: &str) -> u64 {
        value_of(&self.read(file), key)
    }

    /// Processes of the group and of those below it.
    pub fn processes(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        collect_processes(&self.dir, &mut pids);
        pids.sort_unstable();
        pids
    }

    /// Kills everything in it: by `cgroup.kill` (Linux 5.14), else one by one.
    pub fn kill(&self) {
        match fs::write(self.dir.join("cgroup.kill"), "1") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.dir.exists() => {}
            Err(_) => {
                for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
                    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
                        && let Err(error) = signals::send(pidfd, signals::KILL)
                    {
                        tracing::warn!("{error}");
                    }
                }
            }
        }
    }

    /// Freezes or thaws everything in it; the caller waits for [`Cgroup::is_frozen`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let value = if frozen { "1" } else { "0" };
        fs::write(self.dir.join("cgroup.freeze"), value)
            .doing(|| format!("freeze {}", self.dir.display()))
    }

    /// Whether everything in it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.read_key("cgroup.events", "frozen") == 1
    }

    /// How often the kernel has killed something in it for lack of memory.
    pub fn oom_kills(&self) -> u64 {
        self.read_key("memory.events", "oom_kill")
    }

    /// Removes it and the groups below. Blocks until killed processes have left it, though not for ever.
    pub fn remove(&self) {
        if let Err(error) = self.wait_until_empty() {
            tracing::warn!("wait for the processes of {}: {error}", self.dir.display());
        }
        remove_tree(&self.dir);
    }

    /// The kernel tells changes of `cgroup.events` by `POLLPRI` (Documentation/admin-guide/cgroup-v2.rst).
    fn wait_until_empty(&self) -> io::Result<()> {
        let path = self.dir.join("cgroup.events");
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let deadline = Instant::now() + LEAVING;
        loop {
            // Reading arms the next event.
            let mut text = [0; 256];
            let count = file.read_at(&mut text, 0)?;
            if value_of(&String::from_utf8_lossy(&text[..count]), "populated") == 0 {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let timeout = rustix::event::Timespec::try_from(left).ok();
            let mut watched = [PollFd::new(&file, PollFlags::PRI)];
            match poll(&mut watched, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The number after `key` in `key value` lines; 0 when there is none.
pub fn value_of(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

fn collect_processes(dir: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(
        text.lines()
            .filter_map(|line| line.parse::<i32>().ok())
            .filter(|pid| *pid > 0),
    );
    for child in children(dir) {
        collect_processes(&child, pids);
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_tree(dir: &Path) {
    for child in children(dir) {
        remove_tree(&child);
    }
    match fs::remove_dir(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // A process that hangs in the kernel; the next start of the container or of the engine removes the group.
        Err(error) => tracing::debug!("remove control group {}: {error}", dir.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_key() {
        let text = "low 0\nhigh 3\noom 2\noom_kill 1\n";
        assert_eq!(value_of(text, "oom_kill"), 1);
        assert_eq!(value_of(text, "none"), 0);
    }

    #[test]
    fn parents_stay_in_the_hierarchy() {
        let groups = Cgroups {
            mount: "/sys/fs/cgroup".into(),
            parent: "/system-docker".into(),
            controllers: vec![],
        };
        for (parent, expected) in [
            (None, "/system-docker/x"),
            (Some("/a/b/"), "/a/b/x"),
            (Some("../../../tmp"), "/tmp/x"),
            (Some("/"), "/x"),
        ] {
            assert_eq!(groups.container("x", parent).path(), expected);
        }
    }

    #[test]
    fn a_group_is_made_filled_killed_and_removed() {
        let Ok(groups) = Cgroups::new("/coracle-unit-test") else {
            eprintln!("skipped: no writable cgroup v2 hierarchy here");
            return;
        };
        let group = groups.container("x", None);
        group.create().unwrap();
        assert_eq!(group.path(), "/coracle-unit-test/x");
        group.apply(&[("no.such.file".into(), "1".into())]).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        fs::write(group.dir().join("cgroup.procs"), child.id().to_string()).unwrap();
        assert_eq!(group.processes(), [i32::try_from(child.id()).unwrap()]);
        group.kill();
        assert!(!child.wait().unwrap().success());
        group.remove();
        assert!(!group.dir().exists());
        fs::remove_dir(groups.mount.join("coracle-unit-test")).unwrap();
    }
}
