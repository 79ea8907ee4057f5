//! The image store: the bundled images, and the writable ones under `/var/lib/system-docker`.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use coracle_sys::spawn::Launcher;

use crate::digest::Digest;
use crate::error::Error;
use crate::image::Image;
use crate::reference::Reference;

/// Where images are. One per process, shared; methods may block on the disk, so call them from a blocking thread.
#[derive(Debug)]
pub struct Store {
    bundled: Option<PathBuf>,
    root: PathBuf,
}

/// A container that was made from an image, for [`Store::remove`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageUse {
    /// The container's id.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
}

/// One line of the answer to `docker rmi`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Removed {
    /// A name was taken away: familiar form.
    Untagged(String),
    /// An image (its id) or one of its layers was deleted.
    Deleted(Digest),
}

/// What [`Store::load`] found in an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loaded {
    /// An image that the archive names: familiar form.
    Name(String, Digest),
    /// An image without a name.
    Id(Digest),
}

impl Store {
    /// Opens the store. `bundled` is `/usr/lib/coracle` (with `images/` and `layers/`), `root` is
    /// `/var/lib/system-docker`, whose `images/` and `layers/` are made; leftovers of an interrupted load are removed.
    ///
    /// # Errors
    /// When an index is unreadable or malformed, or `root` is not writable.
    pub fn open(bundled: Option<PathBuf>, root: PathBuf) -> Result<Self, Error> {
        Ok(Self { bundled, root })
    }

    /// Every image, newest first.
    pub fn list(&self) -> Vec<Image> {
        let _ = (&self.bundled, &self.root);
        unimplemented!()
    }

    /// The image with a name (default tag `latest`), a digest, or an id that may be shortened.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], [`Error::InvalidReference`].
    pub fn get(&self, name: &str) -> Result<Image, Error> {
        let _ = name;
        unimplemented!()
    }

    /// Gives an image a further name; the name is taken from another image that may have it.
    ///
    /// # Errors
    /// As [`Store::get`]; [`Error::InvalidReference`] when `target` has a digest.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<Image, Error> {
        let _ = (source, target);
        unimplemented!()
    }

    /// Removes a name, or an image with its last name, as `docker rmi` does. `uses` are the containers made from it.
    ///
    /// # Errors
    /// [`Error::Conflict`] in Docker's words, and for bundled images.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        uses: &[ImageUse],
    ) -> Result<Vec<Removed>, Error> {
        let _ = (name, force, uses);
        unimplemented!()
    }

    /// Loads the images of a `docker save` archive, which may be compressed, from `input` (a pipe or a file).
    ///
    /// `progress` gets each layer's digest as it is unpacked.
    ///
    /// # Errors
    /// [`Error::Archive`] says what is wrong with the archive; then nothing was added.
    pub fn load(
        &self,
        input: OwnedFd,
        launcher: &dyn Launcher,
        progress: &mut dyn FnMut(&Digest),
    ) -> Result<Vec<Loaded>, Error> {
        let _ = (input, launcher, progress);
        unimplemented!()
    }

    /// Writes images (names or ids) as a `docker save` archive.
    ///
    /// # Errors
    /// As [`Store::get`], or when writing fails.
    pub fn save(&self, names: &[String], output: &mut dyn Write) -> Result<(), Error> {
        let _ = (names, output);
        unimplemented!()
    }
}
