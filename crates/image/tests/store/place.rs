//! Where a test keeps its images.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use coracle_image::{Error, Image, Loaded, Store};
use coracle_sys::spawn::Direct;
use tempfile::TempDir;

/// A store and the directory that it is in.
pub struct Place {
    pub dir: TempDir,
    pub store: Arc<Store>,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(None, dir.path().join("data")).unwrap();
        let store = Arc::new(store);
        Self { dir, store }
    }

    pub fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>, Error> {
        load(&self.store, archive)
    }

    pub fn layers(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path().join("data/layers"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub fn load(store: &Store, archive: &[u8]) -> Result<Vec<Loaded>, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(archive).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    store.load(OwnedFd::from(file), &Direct, &mut |_| {})
}

pub fn content(image: &Image) -> Vec<String> {
    let read = |path: &Path| {
        fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
    };
    let mut all: Vec<_> = image.layers.iter().flat_map(|layer| read(layer)).collect();
    all.sort();
    all
}
