//! What the mounts of a container come from: made, mounted and held while it runs.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, fstat};
use rustix::mount::mount_bind_recursive;

use crate::engine::Engine;
use crate::error::{Doing, Error, Result};
use crate::record::{MountKind, MountPoint, Record};
use crate::rootfs::{detach, mount_read_only};
use crate::{scoped, shared_mounts};

impl Engine {
    /// Makes what is missing of the mounts' sources, and gives the mounts with their final sources. Undone by
    /// [`Engine::release_sources`], also after a failure. Blocks.
    pub(crate) fn mount_sources(&self, record: &Record) -> Result<Vec<MountPoint>> {
        let mut mounts = record.mounts.clone();
        let mountinfo =
            fs::read_to_string("/proc/self/mountinfo").doing(|| "read /proc/self/mountinfo")?;
        for (index, point) in mounts.iter_mut().enumerate() {
            match point.kind {
                MountKind::Bind => {
                    make_bind_source(point)?;
                    shared_mounts::check(point, &mountinfo)?;
                }
                MountKind::Volume => {
                    let name = point.name.as_deref().unwrap_or_default();
                    self.volumes.acquire(name, &record.id)?;
                }
                MountKind::Tmpfs => {}
                MountKind::Image => {
                    let target = self.staged(&record.id).join(format!("{index}-image"));
                    fs::create_dir_all(&target).doing(|| format!("make {}", target.display()))?;
                    let mut layers = point.image.clone().unwrap_or_default().layers;
                    // An overlay has two layers at least.
                    let empty = self.options.exec_root.join("empty");
                    fs::create_dir_all(&empty).doing(|| format!("make {}", empty.display()))?;
                    layers.insert(0, empty);
                    mount_read_only(&target, &layers)?;
                    point.source = target.display().to_string();
                }
            }
            if let Some(subpath) = point.subpath.clone() {
                let target = self.staged(&record.id).join(index.to_string());
                stage(Path::new(&point.source), &subpath, &target)?;
                point.source = target.display().to_string();
            }
        }
        Ok(mounts)
    }

    /// Undoes [`Engine::mount_sources`], as far as it came.
    pub(crate) fn release_sources(&self, record: &Record) {
        self.unstage(&record.id);
        for point in record
            .mounts
            .iter()
            .filter(|point| point.kind == MountKind::Volume)
        {
            let name = point.name.as_deref().unwrap_or_default();
            self.volumes.release(name, &record.id);
        }
    }

    /// Where the mounts are whose source is no path of its own.
    fn staged(&self, id: &str) -> PathBuf {
        self.options.exec_root.join("mounts").join(id)
    }

    /// Unmounts them. Nothing is deleted below a mount point: what is still mounted stays.
    pub(crate) fn unstage(&self, id: &str) {
        let dir = self.staged(id);
        let Ok(entries) = fs::read_dir(&dir) else {
            return;
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        // A subpath of an image (`0`) before the image (`0-image`).
        paths.sort();
        for path in &paths {
            detach(path);
            if let Err(error) = fs::remove_dir(path).or_else(|_| fs::remove_file(path)) {
                tracing::warn!("remove mount point {}: {error}", path.display());
            }
        }
        // It is empty unless the above has failed.
        let _ = fs::remove_dir(&dir);
    }
}

fn make_bind_source(point: &MountPoint) -> Result<()> {
    let source = Path::new(&point.source);
    if source.exists() {
        return Ok(());
    }
    if !point.create_source {
        return Err(Error::Invalid(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {}",
            point.source
        )));
    }
    fs::create_dir_all(source).doing(|| {
        format!(
            "error while creating mount source path '{0}': mkdir {0}",
            point.source
        )
    })
}

/// Binds what is at `subpath` below `root` to `target`. The content belongs to containers: a link must not lead out of it,
/// now or a moment later, so what was found is held by its descriptor.
fn stage(root: &Path, subpath: &str, target: &Path) -> Result<()> {
    let doing = || format!("subpath {subpath:?} of {}", root.display());
    let found: OwnedFd = scoped::root(root)
        .and_then(|root| scoped::open(&root, Path::new(subpath), OFlags::PATH))
        .doing(doing)?;
    let stat = fstat(&found).doing(doing)?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).doing(|| format!("make {}", parent.display()))?;
    }
    let made = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => fs::create_dir(target),
        _ => fs::File::create_new(target).map(drop),
    };
    made.doing(|| format!("make {}", target.display()))?;
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    mount_bind_recursive(source, target).doing(doing)
}
