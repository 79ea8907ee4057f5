//! `docker load`: the helper reads the archive, the store gives the names.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;

use coracle_sys::spawn::{Command, Launcher};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Store, delete, lock, open};
use crate::digest::Digest;
use crate::error::Error;
use crate::files::{Layout, mark_finished};
use crate::reference::Reference;
use crate::unpack::Message;

/// What [`Store::load`] found in an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loaded {
    /// An image under a name that the archive gives it.
    Name {
        /// The name in familiar form.
        name: String,
        /// The image.
        id: Digest,
        /// The image that had this name before, if it was another one.
        replaced: Option<Digest>,
    },
    /// An image without a name.
    Id(Digest),
}

impl Loaded {
    /// What `docker load` prints, line by line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Id(id) => vec![format!("Loaded image ID: {id}")],
            Self::Name { name, replaced, .. } => {
                let moved = replaced.as_ref().map(|old| {
                    format!("The image {name} already exists, renaming the old one with ID {old} to empty string")
                });
                moved
                    .into_iter()
                    .chain([format!("Loaded image: {name}")])
                    .collect()
            }
        }
    }
}

impl Store {
    /// Loads the images of a `docker save` archive, which may be compressed, from `input` (a pipe or a file).
    ///
    /// `progress` gets each layer's digest as its unpacking begins.
    ///
    /// # Errors
    /// [`Error::Archive`] says what is wrong with the archive; then no image was added.
    pub fn load(
        &self,
        input: OwnedFd,
        launcher: &dyn Launcher,
        progress: &mut dyn FnMut(&Digest),
    ) -> Result<Vec<Loaded>, Error> {
        let _changing = lock(&self.changes);
        let mut made = Vec::new();
        let found = self.run_helper(input, launcher, &mut |digest| {
            progress(digest);
            made.push(digest.clone());
        });
        let result = found.and_then(|images| self.adopt(images));
        // Complete layers of an archive whose rest was damaged, or of an image that is bundled anyway.
        let wanted = self.wanted_layers();
        for layer in made.iter().map(|digest| self.layout.layer(digest)) {
            if !wanted.contains(&Layout::tree(&layer)) {
                delete(&layer)?;
            }
        }
        result
    }

    /// The images that the helper put in place, with their names.
    fn run_helper(
        &self,
        input: OwnedFd,
        launcher: &dyn Launcher,
        progress: &mut dyn FnMut(&Digest),
    ) -> Result<Vec<(Digest, Vec<String>)>, Error> {
        let failed = |error: std::io::Error| {
            Error::Archive(format!("cannot run the unpacking process: {error}"))
        };
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let command = Command::new("/proc/self/exe")
            .with_parent()
            .arg0("coracle")
            .args(["unpack", "load", "--root"])
            .arg(self.layout.root())
            .fd(input, 0)
            .fd(write, 1);
        let wait = launcher.launch(&command).map_err(failed)?;
        // Otherwise the pipe's other end stays open here, and it never ends.
        drop(command);
        let (mut images, mut error) = (Vec::new(), None);
        for line in BufReader::new(File::from(read))
            .lines()
            .map_while(Result::ok)
        {
            match serde_json::from_str(&line) {
                Ok(Message::Layer(digest)) => progress(&digest),
                Ok(Message::Image { id, names }) => images.push((id, names)),
                Ok(Message::Error(message)) => error = Some(message),
                Ok(Message::Unpacked { .. }) | Err(_) => {}
            }
        }
        let status = wait().map_err(failed)?;
        match error {
            Some(message) => Err(Error::Archive(message)),
            None if status.exit_status() == Some(0) => Ok(images),
            None => Err(Error::Archive(format!(
                "the unpacking process ended early ({status:?})"
            ))),
        }
    }

    /// Adds an image whose files are in place to the catalogue. `changes` must be held.
    pub(super) fn insert(&self, id: &Digest) -> Result<(), Error> {
        let stored = {
            let catalogue = self.catalogue();
            open::read_image(&self.layout, id, |diff_id| catalogue.bundled_layer(diff_id))?
        };
        self.catalogue().insert(id.clone(), stored);
        Ok(())
    }

    fn adopt(&self, images: Vec<(Digest, Vec<String>)>) -> Result<Vec<Loaded>, Error> {
        let mut loaded = Vec::new();
        for (id, _) in &images {
            if self.catalogue().is_bundled(id) {
                let path = self.layout.config(id);
                fs::remove_file(&path).map_err(Error::io("remove", path))?;
            } else {
                self.insert(id)?;
            }
        }
        let ids: Vec<_> = images.iter().map(|(id, _)| id.clone()).collect();
        self.change_names(|all| {
            for (id, names) in images {
                if names.is_empty() {
                    loaded.push(Loaded::Id(id.clone()));
                }
                for name in names {
                    let familiar =
                        Reference::parse(&name).map_or_else(|_| name.clone(), |r| r.familiar());
                    let replaced = all.insert(name, id.clone()).filter(|old| *old != id);
                    loaded.push(Loaded::Name {
                        name: familiar,
                        id: id.clone(),
                        replaced,
                    });
                }
            }
        })?;
        for id in &ids {
            mark_finished(&self.layout, id)?;
        }
        Ok(loaded)
    }
}
