//! Files of a container as tar archives: `docker cp`, `docker export`.
//!
//! A path is always resolved as a process in the container would, whether it runs or not, and whatever the container
//! does meanwhile: no link leads out of it.

mod read;
mod write;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, OFlags, StatxFlags, statx};
use tokio::sync::mpsc;

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::record::MountKind;
use crate::scoped;

pub use write::ExtractOptions;

/// What `docker cp` asks about a path before it copies (API: header `X-Docker-Container-Path-Stat`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathStat {
    /// Its last part.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Mode as Go's `fs.FileMode`.
    pub mode: u32,
    /// RFC 3339.
    pub modified: String,
    /// Where a symbolic link leads, inside the container.
    pub link_target: String,
}

/// A container's file system for the time of a copy.
struct View {
    engine: Arc<Engine>,
    /// The root, and what to prepend to paths: volumes of a container that does not run are not mounted in its root.
    roots: Vec<(PathBuf, OwnedFd)>,
    /// To be released.
    acquired: Option<String>,
    read_only: bool,
}

impl Drop for View {
    fn drop(&mut self) {
        self.roots.clear();
        if let Some(id) = &self.acquired {
            self.engine.roots.release(id);
        }
    }
}

impl View {
    /// Opens the file system of a container. Blocks.
    fn open(engine: &Arc<Engine>, container: &Arc<Container>) -> Result<Self> {
        let (record, pid) = {
            let data = container.data();
            (
                data.record.clone(),
                data.running.as_ref().map(|running| running.pid),
            )
        };
        let read_only = record.host_config.readonly_rootfs.unwrap_or(false);
        let doing = || format!("open the root of container {}", record.id);
        if let Some(pid) = pid {
            let root = scoped::root(format!("/proc/{}/root", pid.as_raw_nonzero()).as_ref())
                .doing(doing)?;
            let roots = vec![(PathBuf::from("/"), root)];
            return Ok(Self {
                engine: Arc::clone(engine),
                roots,
                acquired: None,
                read_only,
            });
        }
        let owner = engine.root_owner(container)?;
        let path = engine
            .roots
            .acquire(owner.id(), &engine.overlay_of(&owner))?;
        let mut view = Self {
            engine: Arc::clone(engine),
            roots: Vec::new(),
            acquired: Some(owner.id().to_owned()),
            read_only,
        };
        view.roots
            .push((PathBuf::from("/"), scoped::root(&path).doing(doing)?));
        for point in record
            .mounts
            .iter()
            .filter(|point| matches!(point.kind, MountKind::Bind | MountKind::Volume))
        {
            // A source that is gone, or is a file, is seen as what the root has there.
            if let Ok(root) = scoped::root(point.source.as_ref()) {
                view.roots.push((PathBuf::from(&point.destination), root));
            }
        }
        view.roots
            .sort_by_key(|(place, _)| std::cmp::Reverse(place.components().count()));
        Ok(view)
    }

    /// The root that holds `path`, and the path in it.
    fn locate<'a>(&self, path: &'a Path) -> (&OwnedFd, &'a Path) {
        let found = self
            .roots
            .iter()
            .find_map(|(place, root)| Some((root, path.strip_prefix(place).ok()?)));
        // The list ends with `/`, which every absolute path begins with.
        found.unwrap_or((&self.roots[self.roots.len() - 1].1, path))
    }

    /// Opens what `path` names, following links.
    fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let (root, path) = self.locate(path);
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        scoped::open(root, path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The directory that holds the last part of `path`, and that part; `None` for the root itself.
    fn parent(&self, path: &Path) -> io::Result<(OwnedFd, Option<OsString>)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if !self.roots.iter().any(|(place, _)| place == path) => {
                Ok((self.directory(parent)?, Some(name.to_owned())))
            }
            _ => Ok((self.directory(path)?, None)),
        }
    }
}

/// An absolute path without `.` and `..`, and whether it must be a directory (`/x/` or `/x/.`).
fn normalise(path: &str) -> (PathBuf, bool) {
    let mut clean = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    (clean, path.ends_with('/') || path.ends_with("/."))
}

impl Engine {
    /// Describes a path.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`].
    pub async fn path_stat(self: &Arc<Self>, reference: &str, path: &str) -> Result<PathStat> {
        let container = self.find(reference)?;
        let (engine, path, reference) = (Arc::clone(self), path.to_owned(), reference.to_owned());
        blocking(move || {
            let view = View::open(&engine, &container)?;
            stat(&view, &path).map_err(|error| no_such_path(&reference, &path, error))
        })
        .await?
    }

    /// The archive of a path, in chunks, and its description. The archive's names begin with the path's last part.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`].
    pub async fn archive(
        self: &Arc<Self>,
        reference: &str,
        path: &str,
    ) -> Result<(PathStat, mpsc::Receiver<bytes::Bytes>)> {
        let container = self.find(reference)?;
        let (engine, path, reference) = (Arc::clone(self), path.to_owned(), reference.to_owned());
        blocking(move || {
            let view = View::open(&engine, &container)?;
            let failed = |error| no_such_path(&reference, &path, error);
            let described = stat(&view, &path).map_err(failed)?;
            let (clean, as_directory) = normalise(&path);
            let (sender, receiver) = mpsc::channel(4);
            let (parent, name) = if as_directory {
                (view.directory(&clean).map_err(failed)?, None)
            } else {
                view.parent(&clean).map_err(failed)?
            };
            let prefix = name
                .clone()
                .unwrap_or_else(|| OsString::from(&described.name));
            tokio::task::spawn_blocking(move || {
                if let Err(error) = read::archive(parent, name.as_deref(), prefix.as_ref(), sender)
                {
                    tracing::debug!("archive of a container's files: {error}");
                }
                drop(view);
            });
            Ok((described, receiver))
        })
        .await?
    }

    /// Everything in a container's root, without volumes (`docker export`).
    ///
    /// # Errors
    /// When the root cannot be opened.
    pub async fn export(self: &Arc<Self>, reference: &str) -> Result<mpsc::Receiver<bytes::Bytes>> {
        let container = self.find(reference)?;
        let engine = Arc::clone(self);
        blocking(move || {
            let owner = engine.root_owner(&container)?;
            let path = engine
                .roots
                .acquire(owner.id(), &engine.overlay_of(&owner))?;
            let root = scoped::root(&path).doing(|| format!("open {}", path.display()));
            let (sender, receiver) = mpsc::channel(4);
            tokio::task::spawn_blocking(move || {
                let result = root.map(|root| read::archive(root, None, Path::new(""), sender));
                if let Ok(Err(error)) = result {
                    tracing::debug!("export of a container: {error}");
                }
                engine.roots.release(owner.id());
            });
            Ok(receiver)
        })
        .await?
    }

    /// Unpacks an archive into a directory of a container.
    ///
    /// # Errors
    /// When the directory does not exist, may not be written, or the archive is damaged.
    pub async fn extract(
        self: &Arc<Self>,
        reference: &str,
        path: &str,
        options: ExtractOptions,
        archive: mpsc::Receiver<bytes::Bytes>,
    ) -> Result<()> {
        let container = self.find(reference)?;
        let (engine, path, reference) = (Arc::clone(self), path.to_owned(), reference.to_owned());
        blocking(move || {
            let view = View::open(&engine, &container)?;
            let (clean, _) = normalise(&path);
            let in_volume = container
                .data()
                .record
                .mounts
                .iter()
                .any(|point| point.writable && clean.starts_with(&point.destination));
            if view.read_only && !in_volume {
                return Err(Error::Forbidden(
                    "container rootfs is marked read-only".into(),
                ));
            }
            view.directory(&clean).map_err(|error| match error.kind() {
                io::ErrorKind::NotADirectory => {
                    Error::Invalid("extraction point is not a directory".into())
                }
                _ => no_such_path(&reference, &path, error),
            })?;
            let (root, base) = view.locate(&clean);
            // Docker: copied files belong to root unless the archive's owners are wanted.
            let owner = if options.copy_owner {
                None
            } else {
                Some((0, 0))
            };
            write::extract(
                root.as_fd(),
                base,
                read::ChunkReader::new(archive),
                options,
                owner,
            )
            .doing(|| format!("unpack into {path} of container {reference}"))
        })
        .await?
    }
}

fn no_such_path(container: &str, path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NoSuchPath {
            path: path.to_owned(),
            container: container.to_owned(),
        },
        _ => Error::io(format!("open {path} of container {container}"), error),
    }
}

fn stat(view: &View, path: &str) -> io::Result<PathStat> {
    let (clean, as_directory) = normalise(path);
    let (parent, name) = if as_directory {
        (view.directory(&clean)?, None)
    } else {
        view.parent(&clean)?
    };
    let file = name.as_deref().unwrap_or_default();
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let found = statx(&parent, file, flags, StatxFlags::BASIC_STATS)?;
    let modified = jiff::Timestamp::new(
        found.stx_mtime.tv_sec,
        found.stx_mtime.tv_nsec.cast_signed(),
    )
    .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let mode = u32::from(found.stx_mode);
    let link_target = if mode & 0o170_000 == 0o120_000 {
        let target = rustix::fs::readlinkat(&parent, file, Vec::new())?;
        let target = PathBuf::from(OsString::from(target.to_string_lossy().into_owned()));
        // Relative to the link's directory, as the container sees it.
        let base = clean.parent().unwrap_or(Path::new("/"));
        normalise(&base.join(target).to_string_lossy())
            .0
            .display()
            .to_string()
    } else {
        String::new()
    };
    Ok(PathStat {
        name: base_name(path, &clean),
        size: found.stx_size,
        mode: go_mode(mode),
        modified: crate::time::format(modified),
        link_target,
    })
}

/// The last part of a path: `.` when the path asks for a directory's content.
fn base_name(path: &str, clean: &Path) -> String {
    match clean.file_name() {
        _ if path.ends_with("/.") || path == "." => ".".to_owned(),
        Some(name) => name.to_string_lossy().into_owned(),
        None => "/".to_owned(),
    }
}

/// Permission and type bits as Go's `fs.FileMode` has them.
pub fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => 1 << 26 | 1 << 21,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let flags = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special: u32 = flags
        .iter()
        .filter(|(bit, _)| mode & bit != 0)
        .map(|(_, go)| go)
        .sum();
    kind | special | mode & 0o777
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_translated_for_go() {
        for (mode, expected) in [
            (0o100_644, 0o644),
            (0o040_755, 1 << 31 | 0o755),
            (0o120_777, 1 << 27 | 0o777),
            (0o104_755, 1 << 23 | 0o755),
            (0o041_777, 1 << 31 | 1 << 20 | 0o777),
        ] {
            assert_eq!(go_mode(mode), expected, "{mode:o}");
        }
    }

    #[test]
    fn paths_cannot_climb() {
        for (path, expected) in [
            ("/a/../../b", ("/b", false)),
            ("a/./b/", ("/a/b", true)),
            ("/a/.", ("/a", true)),
            ("/", ("/", true)),
            ("", ("/", false)),
        ] {
            assert_eq!(
                normalise(path),
                (PathBuf::from(expected.0), expected.1),
                "{path}"
            );
        }
    }
}
