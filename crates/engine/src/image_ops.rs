//! Images as clients see them: the store's operations with their events.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use coracle_image::{Digest, Image, ImageUse, Loaded, Reference, Removed};

use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::events::Kind;
use crate::record::Record;

impl Engine {
    /// Every image, newest first.
    ///
    /// # Errors
    /// Never, unless the store has failed.
    pub async fn images(&self) -> Result<Vec<Image>> {
        let store = Arc::clone(&self.images);
        blocking(move || store.list()).await
    }

    /// The image with this name or id.
    ///
    /// # Errors
    /// Docker's texts when there is none, or several.
    pub async fn image(&self, name: &str) -> Result<Image> {
        let (store, name) = (Arc::clone(&self.images), name.to_owned());
        Ok(blocking(move || store.get(&name)).await??)
    }

    /// How many containers were made from an image.
    pub fn image_users(&self, id: &str) -> usize {
        self.all()
            .iter()
            .filter(|container| uses(&container.data().record, id))
            .count()
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn tag_image(&self, source: &str, repository: &str, tag: &str) -> Result<()> {
        let text = if tag.is_empty() {
            repository.to_owned()
        } else {
            format!("{repository}:{tag}")
        };
        let target = Reference::parse(&text)?.with_default_tag();
        let (store, source) = (Arc::clone(&self.images), source.to_owned());
        let name = target.familiar();
        let image = blocking(move || store.tag(&source, &target)).await??;
        self.image_event("tag", &image.id.to_string(), &name);
        Ok(())
    }

    /// Removes a name, or an image with its last name.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn remove_image(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        let image = self.image(name).await?;
        let id = image.id.to_string();
        let uses: Vec<ImageUse> = self
            .all()
            .iter()
            .map(|container| container.data())
            .filter(|data| uses(&data.record, &id))
            .map(|data| ImageUse {
                container: data.record.id.clone(),
                running: data.state.status.is_active(),
            })
            .collect();
        let (store, name) = (Arc::clone(&self.images), name.to_owned());
        let removed = blocking(move || store.remove(&name, force, &uses)).await??;
        for item in &removed {
            match item {
                Removed::Untagged(name) => self.image_event("untag", &id, name),
                Removed::Deleted(digest) if *digest == image.id => {
                    self.image_event("delete", &id, &id)
                }
                Removed::Deleted(_) => {}
            }
        }
        Ok(removed)
    }

    /// Loads the images of an archive from a pipe; `progress` gets each layer as it is unpacked.
    ///
    /// # Errors
    /// What is wrong with the archive.
    pub async fn load_images(
        &self,
        input: OwnedFd,
        mut progress: impl FnMut(&Digest) + Send + 'static,
    ) -> Result<Vec<Loaded>> {
        let (store, reaper) = (Arc::clone(&self.images), Arc::clone(&self.reaper));
        let loaded = blocking(move || store.load(input, reaper.as_ref(), &mut progress)).await??;
        for item in &loaded {
            match item {
                Loaded::Name { name, id, .. } => self.image_event("load", &id.to_string(), name),
                Loaded::Id(id) => self.image_event("load", &id.to_string(), &id.to_string()),
            }
        }
        Ok(loaded)
    }

    /// Whether there are all images that [`Engine::save_images`] is to save.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn check_saved(&self, names: Vec<String>) -> Result<()> {
        let store = Arc::clone(&self.images);
        Ok(blocking(move || store.check_saved(&names)).await??)
    }

    /// Writes images (names or ids) as a `docker save` archive to `output`, and gives it back at the end.
    ///
    /// # Errors
    /// Docker's texts when there is no such image, or when writing fails.
    pub async fn save_images<W>(&self, names: Vec<String>, mut output: W) -> Result<W>
    where
        W: Write + Send + 'static,
    {
        let store = Arc::clone(&self.images);
        let saved = names.clone();
        let output = blocking(move || store.save(&saved, &mut output).map(|()| output)).await??;
        for name in names {
            let id = self.image(&name).await?.id.to_string();
            self.image_event("save", &id, &name);
        }
        Ok(output)
    }

    /// Removes the images that `accept` says yes to and no container uses. Gives what was removed, and the bytes.
    ///
    /// # Errors
    /// When the store has failed; images that cannot be removed are skipped.
    pub async fn prune_images(
        &self,
        accept: impl Fn(&Image) -> bool,
    ) -> Result<(Vec<Removed>, u64)> {
        let (mut removed, mut bytes) = (Vec::new(), 0);
        for image in self.images().await? {
            let id = image.id.to_string();
            if image.bundled || !accept(&image) || self.image_users(&id) > 0 {
                continue;
            }
            match self.remove_image(&id, true).await {
                Ok(items) => {
                    removed.extend(items);
                    bytes += image.size;
                }
                Err(Error::Image(
                    coracle_image::Error::Conflict(_) | coracle_image::Error::NotFound(_),
                )) => {}
                Err(error) => tracing::warn!("prune image {id}: {error}"),
            }
        }
        Ok((removed, bytes))
    }

    /// Deletes the layers of an image that was deleted while containers used it, after the last of them has gone.
    pub(crate) fn prune_layers(&self, image_id: &str) {
        if self.images.get(image_id).is_ok() {
            return;
        }
        if let Err(error) = self.images.prune_layers(&self.layers_in_use()) {
            tracing::warn!("{error}");
        }
    }

    /// Deletes the layers of a pull or load that was cut when they were complete and the image was not.
    pub(crate) fn clear_layers(&self) {
        if !self.images.problems().is_empty() {
            // They may be of an image that cannot be read just now.
            return;
        }
        let (store, in_use) = (Arc::clone(&self.images), self.layers_in_use());
        // Not on the way of the start: deleting takes its time.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.prune_layers(&in_use) {
                tracing::warn!("{error}");
            }
        });
    }

    fn layers_in_use(&self) -> Vec<PathBuf> {
        self.all()
            .iter()
            .flat_map(|container| {
                let data = container.data();
                let mounted = data.record.mounts.iter();
                let mounted = mounted.filter_map(|point| point.image.as_ref());
                let layers = mounted.flat_map(|image| image.layers.clone());
                layers.chain(data.record.layers.clone()).collect::<Vec<_>>()
            })
            .collect()
    }

    pub(crate) fn image_event(&self, action: &str, id: &str, name: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        self.events.publish(Kind::Image, action, id, attributes);
    }
}

/// Whether a container was made from an image, or mounts it.
fn uses(record: &Record, image: &str) -> bool {
    let mut mounted = record
        .mounts
        .iter()
        .filter_map(|point| point.image.as_ref());
    record.image_id == image || mounted.any(|mounted| mounted.id == image)
}
