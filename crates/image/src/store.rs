//! The image store: the bundled images, and the writable ones under `/var/lib/system-docker`.

mod catalogue;
mod check;
mod commit;
mod load;
mod open;
mod origins;
mod pack;
mod receive;
mod remove;
mod save;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::catalogue::Catalogue;
use crate::error::Error;
use crate::files::{Layout, write_atomically};
use crate::image::Image;
use crate::reference::Reference;

pub use self::check::{Check, Finding};
pub use self::commit::Commit;
pub use self::load::Loaded;
pub use self::origins::Origin;
pub use self::receive::{Incoming, Received};
pub use self::remove::{ImageUse, Removed};

/// Where images are. One per process, shared; methods may block on the disk, so call them from a blocking thread.
///
/// Names of the writable store hide equal names of bundled images; taken away, the bundled image has its name again.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    /// `/usr/lib/coracle`.
    bundled: Option<PathBuf>,
    catalogue: Mutex<Catalogue>,
    /// Held while files of the store change, which may take long: the catalogue stays readable meanwhile.
    changes: Mutex<()>,
    /// Trees of layers that images in the making have, and how many of them.
    held: Mutex<BTreeMap<PathBuf, usize>>,
    problems: Vec<String>,
}

impl Store {
    /// Opens the store. `bundled` is `/usr/lib/coracle` (with `images/` and `layers/`), `root` is
    /// `/var/lib/system-docker`, whose `images/` and `layers/` are made; leftovers of an interrupted load are removed.
    ///
    /// # Errors
    /// When an index is unreadable or malformed, or `root` is not writable.
    pub fn open(bundled: Option<PathBuf>, root: PathBuf) -> Result<Self, Error> {
        let layout = Layout::new(root);
        let (catalogue, problems) = open::open(bundled.as_deref(), &layout)?;
        Ok(Self {
            layout,
            bundled,
            catalogue: Mutex::new(catalogue),
            changes: Mutex::new(()),
            held: Mutex::default(),
            problems,
        })
    }

    /// Images that were found damaged when the store was opened and are left out, as sentences for the log.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Every image, newest first.
    pub fn list(&self) -> Vec<Image> {
        let catalogue = self.catalogue();
        let mut images: Vec<_> = catalogue
            .ids()
            .filter_map(|id| catalogue.image(id))
            .collect();
        images.sort_by(|a, b| (&b.config.created, &b.id).cmp(&(&a.config.created, &a.id)));
        images
    }

    /// The image with a name (default tag `latest`), a digest, or an id that may be shortened.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], [`Error::InvalidReference`].
    pub fn get(&self, name: &str) -> Result<Image, Error> {
        let catalogue = self.catalogue();
        let found = catalogue.resolve(name)?;
        catalogue
            .image(&found.id)
            .ok_or_else(|| Error::NotFound(name.to_owned()))
    }

    /// Gives an image a further name; the name is taken from another image that may have it.
    ///
    /// # Errors
    /// As [`Store::get`]; [`Error::InvalidReference`] when `target` has a digest.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<Image, Error> {
        if target.digest.is_some() {
            let message = "refusing to create a tag with a digest reference";
            return Err(Error::InvalidReference(message.to_owned()));
        }
        let _changing = lock(&self.changes);
        let id = self.catalogue().resolve(source)?.id;
        let name = target.clone().with_default_tag().to_string();
        self.change_names(|names| {
            names.insert(name, id.clone());
        })?;
        self.get(&id.to_string())
    }

    /// Removes layers that no image has: call it when a container is gone whose image was deleted by force.
    ///
    /// `in_use` are the layers of containers whose image is gone.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn prune_layers(&self, in_use: &[PathBuf]) -> Result<(), Error> {
        let _changing = lock(&self.changes);
        let wanted = self.wanted_layers();
        let directory = self.layout.layers();
        for entry in fs::read_dir(&directory).map_err(Error::io("read", &directory))? {
            let entry = entry.map_err(Error::io("read", &directory))?;
            let path = entry.path();
            let tree = Layout::tree(&path);
            // Names with a dot are of what is in the making.
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && !wanted.contains(&tree) && !in_use.contains(&tree) {
                delete(&path)?;
            }
        }
        Ok(())
    }

    /// Changes the names, on disk first. `changes` must be held.
    fn change_names(&self, change: impl FnOnce(&mut catalogue::Names)) -> Result<(), Error> {
        let mut names = self.catalogue().names().clone();
        change(&mut names);
        write_atomically(&self.layout.repositories(), &open::render_names(&names))?;
        self.catalogue().set_names(names);
        Ok(())
    }

    /// Trees of layers that must stay: of images, and of those in the making.
    fn wanted_layers(&self) -> BTreeSet<PathBuf> {
        let mut wanted = self.catalogue().layers();
        wanted.extend(lock(&self.held).keys().cloned());
        wanted
    }

    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        lock(&self.catalogue)
    }
}

/// The data behind these locks is replaced whole, so a panic elsewhere cannot have left it half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes a directory of the store; interrupted, the rest goes when the store is next opened.
fn delete(path: &Path) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = path.with_file_name(format!(".deleted-{name}"));
    match fs::rename(path, &hidden) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("remove", path))?,
    }
    fs::remove_dir_all(&hidden).map_err(Error::io("remove", hidden))
}
