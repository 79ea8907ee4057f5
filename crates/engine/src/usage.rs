//! Disk usage.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::Result;

impl Engine {
    /// Bytes that a container has written, and bytes of its whole root.
    ///
    /// # Errors
    /// When the counting fails as a whole; files that cannot be read do not count.
    pub async fn sizes(&self, container: &Arc<Container>) -> Result<(u64, u64)> {
        let images = Arc::clone(&self.images);
        let container = Arc::clone(container);
        blocking(move || {
            let written = tree_size(&container.file("upper"));
            let image = images
                .get(&container.data().record.image_id)
                .map_or(0, |image| image.size);
            (written, image + written)
        })
        .await
    }

    /// Bytes in a volume.
    ///
    /// # Errors
    /// When the counting fails as a whole.
    pub async fn volume_size(&self, data: &Path) -> Result<u64> {
        let data = data.to_owned();
        blocking(move || tree_size(&data)).await
    }
}

/// Bytes of the files below `dir`, hard links counted once.
pub fn tree_size(dir: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                pending.push(entry.path());
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())))
            {
                total += metadata.len();
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_once_and_missing_trees_are_empty() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/a"), "12345").unwrap();
        fs::hard_link(dir.path().join("sub/a"), dir.path().join("b")).unwrap();
        fs::write(dir.path().join("c"), "1").unwrap();
        assert_eq!(tree_size(dir.path()), 6);
        assert_eq!(tree_size(&dir.path().join("none")), 0);
    }
}
