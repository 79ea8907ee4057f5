//! Volumes as clients see them: who uses them, removing and pruning.

use std::sync::Arc;

use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::volumes::{ANONYMOUS_LABEL, Volume, VolumeRequest};

impl Engine {
    /// Makes a volume, or gives the one that has the name.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn create_volume(self: &Arc<Self>, request: VolumeRequest) -> Result<Volume> {
        let engine = Arc::clone(self);
        let mut request = request;
        if request.name.is_empty() {
            request
                .labels
                .insert(ANONYMOUS_LABEL.to_owned(), String::new());
        }
        let (volume, new) = blocking(move || engine.volumes.create(request)).await??;
        if new {
            self.volume_event("create", &volume.name, &[("driver", "local".to_owned())]);
        }
        Ok(volume)
    }

    /// The volume with this name.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`].
    pub fn volume(&self, name: &str) -> Result<Volume> {
        self.volumes.get(name)
    }

    /// Every volume, by name, with the number of containers that use it.
    pub fn list_volumes(&self) -> Vec<(Volume, usize)> {
        let volumes = self.volumes.list();
        volumes
            .into_iter()
            .map(|volume| (volume.clone(), self.volume_users(&volume.name).len()))
            .collect()
    }

    fn volume_users(&self, name: &str) -> Vec<String> {
        let uses = |container: &Arc<crate::container::Container>| {
            container
                .data()
                .record
                .mounts
                .iter()
                .any(|point| point.name.as_deref() == Some(name))
        };
        self.all()
            .iter()
            .filter(|container| uses(container))
            .map(|container| container.id().to_owned())
            .collect()
    }

    /// Removes a volume that no container uses; with `force` one that does not exist is no error.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn remove_volume(self: &Arc<Self>, name: &str, force: bool) -> Result<()> {
        let (engine, name) = (Arc::clone(self), name.to_owned());
        blocking(move || engine.remove_volume_blocking(&name, force)).await?
    }

    pub(crate) fn remove_volume_blocking(&self, name: &str, force: bool) -> Result<()> {
        let users = self.volume_users(name);
        if !users.is_empty() {
            return Err(Error::Conflict(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )));
        }
        match self.volumes.remove(name) {
            Err(Error::NoSuchVolume(_)) if force => return Ok(()),
            result => result?,
        }
        self.volume_event("destroy", name, &[("driver", "local".to_owned())]);
        Ok(())
    }

    /// Removes the unused volumes that `accept` says yes to. Gives their names and the bytes they had.
    pub async fn prune_volumes(
        self: &Arc<Self>,
        accept: impl Fn(&Volume) -> bool,
    ) -> (Vec<String>, u64) {
        let (mut removed, mut bytes) = (Vec::new(), 0);
        for (volume, users) in self.list_volumes() {
            // Docker: what options lead to (a share, a disk) is not the engine's to clear away.
            if users > 0 || !volume.options.is_empty() || !accept(&volume) {
                continue;
            }
            let size = self.volume_size(&volume.data).await.unwrap_or(0);
            if self.remove_volume(&volume.name, false).await.is_ok() {
                removed.push(volume.name);
                bytes += size;
            }
        }
        (removed, bytes)
    }
}
