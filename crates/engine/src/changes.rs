//! `docker diff`: what a container has changed in its image's files, read from the overlay's upper directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{Engine, blocking};
use crate::error::{Doing, Result};

/// What happened to a path (the numbers are the API's).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// It is in the image with another content or other attributes, or something below it has changed.
    Modified = 0,
    /// It is not in the image.
    Added = 1,
    /// It is in the image, and not in the container.
    Deleted = 2,
}

/// Files that the engine mounts over: the runtime makes empty ones where the image has none, which is no change of the
/// container's.
pub const MOUNT_POINTS: &[&str] = &[
    "/.dockerenv",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/dev",
    "/proc",
    "/sbin/docker-init",
    "/sys",
];

impl Engine {
    /// The changed paths, sorted.
    ///
    /// # Errors
    /// When the container's files cannot be read.
    pub async fn changes(self: &Arc<Self>, reference: &str) -> Result<Vec<(String, ChangeKind)>> {
        let container = self.find(reference)?;
        let owner = self.root_owner(&container)?;
        let layers = self.overlay_of(&owner).layers;
        let mut hidden: Vec<String> = MOUNT_POINTS.iter().map(ToString::to_string).collect();
        hidden.extend(
            owner
                .data()
                .record
                .mounts
                .iter()
                .map(|point| point.destination.clone()),
        );
        blocking(move || {
            let upper = owner.file("upper");
            let mut changes = BTreeMap::new();
            if upper.exists() {
                walk(&upper, Path::new("/"), &layers, &hidden, &mut changes)
                    .doing(|| format!("read changes of container {}", owner.id()))?;
            }
            Ok(changes
                .into_iter()
                .map(|(path, kind)| (path.display().to_string(), kind))
                .collect())
        })
        .await?
    }
}

fn walk(
    upper: &Path,
    dir: &Path,
    layers: &[PathBuf],
    hidden: &[String],
    changes: &mut BTreeMap<PathBuf, ChangeKind>,
) -> io::Result<()> {
    for entry in fs::read_dir(below(upper, dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        let metadata = entry.path().symlink_metadata()?;
        let kind = metadata.file_type();
        let in_image = layers
            .iter()
            .rev()
            .find_map(|layer| below(layer, &path).symlink_metadata().ok());
        let is_mount_point = hidden.iter().any(|hidden| Path::new(hidden) == path);
        if kind.is_char_device() && metadata.rdev() == 0 {
            note(changes, &path, ChangeKind::Deleted);
        } else if kind.is_dir() {
            let known = changes.len();
            walk(upper, &path, layers, hidden, changes)?;
            let added = in_image.is_none();
            if added && !(is_mount_point && changes.len() == known) {
                note(changes, &path, ChangeKind::Added);
            } else if in_image.is_some_and(|image| attributes(&image) != attributes(&metadata)) {
                note(changes, &path, ChangeKind::Modified);
            }
        } else if in_image.is_some() {
            note(changes, &path, ChangeKind::Modified);
        } else if !(is_mount_point && metadata.len() == 0) {
            note(changes, &path, ChangeKind::Added);
        }
    }
    Ok(())
}

fn attributes(metadata: &fs::Metadata) -> (u32, u32, u32) {
    (metadata.mode(), metadata.uid(), metadata.gid())
}

/// Adds a change; the directories above it are changed by it.
fn note(changes: &mut BTreeMap<PathBuf, ChangeKind>, path: &Path, kind: ChangeKind) {
    changes.insert(path.to_owned(), kind);
    for parent in path
        .ancestors()
        .skip(1)
        .filter(|parent| parent.parent().is_some())
    {
        changes
            .entry(parent.to_owned())
            .or_insert(ChangeKind::Modified);
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn additions_changes_and_deletions_are_told_with_their_directories() {
        let dir = tempfile::tempdir().unwrap();
        let (layer, upper) = (dir.path().join("layer"), dir.path().join("upper"));
        for path in [
            "layer/etc",
            "layer/data",
            "upper/etc",
            "upper/data",
            "upper/new/sub",
            "upper/dev",
        ] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for path in [
            "layer/etc/passwd",
            "layer/data/gone",
            "upper/etc/passwd",
            "upper/etc/hosts",
            "upper/new/sub/file",
        ] {
            fs::write(dir.path().join(path), "").unwrap();
        }
        mknodat(
            CWD,
            upper.join("data/gone"),
            FileType::CharacterDevice,
            Mode::from_raw_mode(0),
            0,
        )
        .unwrap();
        let hidden: Vec<String> = MOUNT_POINTS.iter().map(ToString::to_string).collect();
        let mut changes = BTreeMap::new();
        walk(&upper, Path::new("/"), &[layer], &hidden, &mut changes).unwrap();
        let got: Vec<_> = changes
            .iter()
            .map(|(path, kind)| (path.to_str().unwrap(), *kind))
            .collect();
        assert_eq!(
            got,
            [
                ("/data", ChangeKind::Modified),
                ("/data/gone", ChangeKind::Deleted),
                ("/etc", ChangeKind::Modified),
                ("/etc/passwd", ChangeKind::Modified),
                ("/new", ChangeKind::Added),
                ("/new/sub", ChangeKind::Added),
                ("/new/sub/file", ChangeKind::Added),
            ]
        );
    }
}
