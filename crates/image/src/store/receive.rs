//! Images that come piece by piece, as from a registry: complete and checked, or not there at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use coracle_sys::spawn::Launcher;

use super::{Store, delete, lock};
use crate::digest::Digest;
use crate::error::Error;
use crate::files::{Layout, mark_finished, mark_unfinished, write_atomically};
use crate::reference::Reference;
use crate::unpack::archive::{import_layer, load_layer};
use crate::unpack::spool::temporary;

/// An image in the making. Its layers stay as long as this exists; dropped, those go that no image has.
///
/// Everything here, also dropping it, may block on the disk.
#[derive(Debug)]
pub struct Incoming {
    store: Arc<Store>,
    spool: PathBuf,
    layers: Mutex<Layers>,
}

#[derive(Debug, Default)]
struct Layers {
    /// Trees, as they are counted in the store.
    held: Vec<PathBuf>,
    /// Layers that were made for this image.
    made: Vec<PathBuf>,
}

/// What [`Incoming::finish`] did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// The image.
    pub id: Digest,
    /// Whether the first name did not mean this image before.
    pub is_new: bool,
}

impl Store {
    /// Begins to receive an image.
    ///
    /// # Errors
    /// When the spool cannot be made.
    pub fn receive(self: &Arc<Self>) -> Result<Incoming, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let spool = temporary(&self.layout.layers(), &format!("receive-{number}"));
        fs::create_dir(&spool).map_err(Error::io("make", &spool))?;
        Ok(Incoming {
            store: Arc::clone(self),
            spool,
            layers: Mutex::default(),
        })
    }
}

impl Incoming {
    /// A directory for blobs on their way; it goes with this.
    pub fn spool(&self) -> &Path {
        &self.spool
    }

    /// Whether a layer can be packed: as [`Incoming::has_layer`], or because a bundled image has it. Those stay anyway; but
    /// what a registry gives must not rest on them, as another version of the system may have others.
    pub fn can_pack(&self, diff_id: &Digest) -> bool {
        self.has_layer(diff_id) || self.store.catalogue().bundled_layer(diff_id).is_some()
    }

    /// Whether the writable store has a layer; then it stays until the image is complete.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        let _changing = lock(&self.store.changes);
        let layer = self.store.layout.layer(diff_id);
        let found = layer.exists();
        if found {
            self.hold(Layout::tree(&layer));
        }
        found
    }

    /// Unpacks a layer, compressed or not, unless the store has it.
    ///
    /// # Errors
    /// [`Error::Archive`] when the archive is malformed or has another digest than `diff_id`.
    pub fn add_layer(
        &self,
        blob: File,
        diff_id: &Digest,
        launcher: &dyn Launcher,
    ) -> Result<(), Error> {
        let _changing = lock(&self.store.changes);
        let layout = &self.store.layout;
        let layer = layout.layer(diff_id);
        if !layer.exists() {
            load_layer(blob, diff_id, layout, launcher)?;
            lock(&self.layers).made.push(layer.clone());
        }
        self.hold(Layout::tree(&layer));
        Ok(())
    }

    /// Unpacks a layer whose digest nobody knows; gives it.
    ///
    /// # Errors
    /// [`Error::Archive`] when the archive is malformed.
    pub fn import_layer(&self, blob: File, launcher: &dyn Launcher) -> Result<Digest, Error> {
        let _changing = lock(&self.store.changes);
        let layout = &self.store.layout;
        let wanted = self.store.wanted_layers();
        let diff_id = import_layer(blob, layout, launcher)?;
        let layer = layout.layer(&diff_id);
        let tree = Layout::tree(&layer);
        if !wanted.contains(&tree) {
            lock(&self.layers).made.push(layer);
        }
        self.hold(tree);
        Ok(diff_id)
    }

    /// Puts the image in place, whose layers are there, and gives it names in their full form. One that the store has
    /// needs no configuration.
    ///
    /// # Errors
    /// When a file cannot be written, a layer is missing, or the store does not have the image after all.
    pub fn finish(
        &self,
        id: &Digest,
        config: Option<&[u8]>,
        names: &[Reference],
    ) -> Result<Received, Error> {
        let store = &self.store;
        let _changing = lock(&store.changes);
        let known = store.catalogue().ids().any(|other| other == id);
        match config {
            Some(config) if !known => {
                let path = store.layout.config(id);
                mark_unfinished(&store.layout, id)?;
                write_atomically(&path, config)?;
                if let Err(error) = store.insert(id) {
                    fs::remove_file(&path).map_err(Error::io("remove", path))?;
                    mark_finished(&store.layout, id)?;
                    return Err(error);
                }
            }
            None if !known => return Err(Error::NotFound(id.to_string())),
            _ => {}
        }
        let first = names.first().map(ToString::to_string);
        let before = first.and_then(|name| store.catalogue().resolve(&name).ok());
        store.change_names(|all| {
            for name in names {
                all.insert(name.to_string(), id.clone());
            }
        })?;
        mark_finished(&store.layout, id)?;
        Ok(Received {
            id: id.clone(),
            is_new: before.is_none_or(|found| found.id != *id),
        })
    }

    fn hold(&self, tree: PathBuf) {
        *lock(&self.store.held).entry(tree.clone()).or_default() += 1;
        lock(&self.layers).held.push(tree);
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _changing = lock(&self.store.changes);
        let Layers { held, made } = std::mem::take(&mut *lock(&self.layers));
        {
            let mut counts = lock(&self.store.held);
            for tree in held {
                if let Some(count) = counts.get_mut(&tree) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&tree);
                    }
                }
            }
        }
        let wanted = self.store.wanted_layers();
        for layer in made {
            if !wanted.contains(&Layout::tree(&layer)) {
                // What stays behind is removed when the store is opened, or the layer when it is next cleared.
                let _ = delete(&layer);
            }
        }
        let _ = fs::remove_dir_all(&self.spool);
    }
}
