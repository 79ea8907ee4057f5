//! Root file systems of containers: overlayfs of the image's layers under a writable directory, mounted in the engine's
//! own mount namespace at `<exec root>/rootfs/<id>`.
//!
//! A root may have several users: its container, containers that share it (label `io.rancher.os.root`), and copies into
//! a container that does not run. It is mounted by the first and unmounted by the last.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, move_mount, unmount,
};

use crate::error::{Doing, Error, Result};

/// What an overlay is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Overlay {
    /// Read-only directories, lowest first.
    pub layers: Vec<PathBuf>,
    /// Directory that receives `upper/` and `work/`.
    pub writable: PathBuf,
}

/// The mounted roots.
#[derive(Debug)]
pub struct Roots {
    dir: PathBuf,
    users: Mutex<HashMap<String, usize>>,
}

impl Roots {
    /// Uses `dir` for mount points, after unmounting what a former engine left there, but for the roots in `users`, each with
    /// how many use it.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(dir: PathBuf, users: &BTreeMap<String, usize>) -> Result<Self> {
        fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()))?;
        for entry in fs::read_dir(&dir)
            .doing(|| format!("list {}", dir.display()))?
            .flatten()
        {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| users.contains_key(name)) {
                continue;
            }
            detach(&entry.path());
            // Not empty means that it is still mounted elsewhere: the mount point stays.
            let _ = fs::remove_dir(entry.path());
        }
        Ok(Self {
            dir,
            users: Mutex::new(users.clone().into_iter().collect()),
        })
    }

    /// How many use each mounted root.
    pub fn all_users(&self) -> BTreeMap<String, usize> {
        self.users().clone().into_iter().collect()
    }

    /// Where the root of container `id` is when it is mounted.
    pub fn path(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// Mounts the root of `id` unless it is, and counts one more user. Blocks.
    ///
    /// # Errors
    /// When the overlay cannot be mounted.
    pub fn acquire(&self, id: &str, overlay: &Overlay) -> Result<PathBuf> {
        let mut users = self.users();
        let target = self.path(id);
        let count = users.entry(id.to_owned()).or_default();
        if *count == 0
            && let Err(error) = prepare(&target, overlay)
        {
            users.remove(id);
            return Err(error);
        }
        *count += 1;
        Ok(target)
    }

    /// Counts one user less, and unmounts the root after the last.
    pub fn release(&self, id: &str) {
        let mut users = self.users();
        let Some(count) = users.get_mut(id) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            users.remove(id);
            let target = self.path(id);
            detach(&target);
            if let Err(error) = fs::remove_dir(&target) {
                tracing::warn!("remove mount point {}: {error}", target.display());
            }
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prepare(target: &Path, overlay: &Overlay) -> Result<()> {
    let upper = overlay.writable.join("upper");
    let work = overlay.writable.join("work");
    for dir in [&upper, &work, &target.to_owned()] {
        fs::create_dir_all(dir).doing(|| format!("make {}", dir.display()))?;
    }
    mount_overlay(target, &overlay.layers, Some((&upper, &work))).map_err(|error| {
        Error::io(
            format!(
                "mount overlay of {} layers on {}",
                overlay.layers.len(),
                target.display()
            ),
            error,
        )
    })
}

/// Mounts layers (lowest first, at least two) read-only on `target`.
///
/// # Errors
/// When they cannot be mounted.
pub fn mount_read_only(target: &Path, layers: &[PathBuf]) -> Result<()> {
    mount_overlay(target, layers, None).map_err(|error| {
        let layers = layers.len();
        Error::io(
            format!("mount {layers} layers on {}", target.display()),
            error,
        )
    })
}

/// Kernels since 6.7 take layers one by one, so that neither their number nor their names matter; older ones get one
/// string, limited to a page.
fn mount_overlay(
    target: &Path,
    layers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
) -> io::Result<()> {
    match mount_layer_by_layer(target, layers, writable) {
        Err(Errno::INVAL) => {}
        result => return Ok(result?),
    }
    let escape = |path: &Path| {
        path.display()
            .to_string()
            .replace('\\', "\\\\")
            .replace(':', "\\:")
            .replace(',', "\\,")
    };
    let lower: Vec<String> = layers.iter().rev().map(|layer| escape(layer)).collect();
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let Some((upper, work)) = writable {
        options += &format!(",upperdir={},workdir={}", escape(upper), escape(work));
    }
    let options = std::ffi::CString::new(options)?;
    Ok(mount(
        "overlay",
        target,
        "overlay",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )?)
}

fn mount_layer_by_layer(
    target: &Path,
    layers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
) -> Result<(), Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "overlay")?;
    for layer in layers.iter().rev() {
        fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    if let Some((upper, work)) = writable {
        fsconfig_set_string(&context, "upperdir", upper)?;
        fsconfig_set_string(&context, "workdir", work)?;
    }
    fsconfig_create(&context)?;
    let tree = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    move_mount(
        &tree,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// Unmounts `target` and forgets it, even while it is in use somewhere.
pub fn detach(target: &Path) {
    match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(error) => tracing::warn!("unmount {}: {error}", target.display()),
    }
}
