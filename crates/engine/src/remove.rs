//! Removing and renaming containers.

use std::fs;
use std::sync::{Arc, PoisonError};

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::names;
use crate::prepare::ROOT_LABEL;
use crate::record::Status;

impl Engine {
    /// Removes a container; with `force` also one that runs, with `volumes` also its anonymous volumes.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn remove(
        self: &Arc<Self>,
        reference: &str,
        force: bool,
        volumes: bool,
    ) -> Result<()> {
        let container = self.find(reference)?;
        self.remove_container(&container, force, volumes).await
    }

    /// Removes a container that was made with `--rm`, after its end.
    pub(crate) async fn remove_quietly(self: &Arc<Self>, container: &Arc<Container>) {
        match self.remove_container(container, true, true).await {
            Ok(()) | Err(Error::Conflict(_)) => {}
            Err(error) => tracing::error!("remove container {}: {error}", container.id()),
        }
    }

    async fn remove_container(
        self: &Arc<Self>,
        container: &Arc<Container>,
        force: bool,
        volumes: bool,
    ) -> Result<()> {
        {
            let mut data = container.data();
            let refuse = |why: &str| {
                let name = &data.record.name;
                Err(Error::Conflict(format!(
                    "cannot remove container \"{name}\": {why}"
                )))
            };
            if data.removing {
                return Err(Error::Conflict(format!(
                    "removal of container {} is already in progress",
                    container.id()
                )));
            }
            if !force {
                match data.state.status {
                    Status::Running | Status::Restarting => {
                        return refuse(
                            "container is running: stop the container before removing or force remove",
                        );
                    }
                    Status::Paused => {
                        return refuse("container is paused and must be unpaused first");
                    }
                    _ => {}
                }
            }
            data.removing = true;
        }
        let result = self.remove_marked(container, volumes).await;
        if result.is_err() {
            container.data().removing = false;
        }
        result
    }

    async fn remove_marked(
        self: &Arc<Self>,
        container: &Arc<Container>,
        volumes: bool,
    ) -> Result<()> {
        if let Some(user) = self.root_user(container) {
            return Err(Error::Conflict(format!(
                "cannot remove container \"{}\": container {user} runs on its root: stop that container first",
                container.name()
            )));
        }
        if container.is_active() {
            container.data().state.stopped_by_user = true;
            if !self.cancel_restart(container).await {
                self.kill_and_wait(container).await?;
            }
        }
        let guard = container.operation.lock().await;
        let engine = Arc::clone(self);
        let target = Arc::clone(container);
        blocking(move || engine.delete_files(&target)).await??;
        self.containers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(container.id());
        self.forget_execs(container.id());
        let (engine, image) = (Arc::clone(self), container.data().record.image_id.clone());
        blocking(move || engine.prune_layers(&image)).await?;
        if volumes {
            let engine = Arc::clone(self);
            let points = container.data().record.mounts.clone();
            blocking(move || engine.remove_anonymous(&points)).await?;
        }
        self.container_event(container, "destroy", &[]);
        container.data().streams.close();
        container.announce(|progress| {
            progress.active = false;
            progress.removed = true;
        });
        drop(guard);
        Ok(())
    }

    /// A running container, other than `container` itself, that runs on its root.
    fn root_user(&self, container: &Container) -> Option<String> {
        let uses = |other: &Arc<Container>| {
            let data = other.data();
            data.state.status.is_active()
                && data
                    .record
                    .label(ROOT_LABEL)
                    .and_then(|label| label.strip_prefix("container:"))
                    .and_then(|name| self.find(name).ok())
                    .is_some_and(|owner| owner.id() == container.id())
        };
        // A container's own data lock must not be taken twice.
        self.all()
            .into_iter()
            .filter(|other| other.id() != container.id())
            .find(uses)
            .map(|other| other.name())
    }

    fn delete_files(&self, container: &Container) -> Result<()> {
        // A rename first: whatever happens next, the container does not come back half.
        let dir = container.dir();
        let gone = dir.with_extension("removed");
        fs::rename(dir, &gone).doing(|| format!("remove {}", dir.display()))?;
        fs::remove_dir_all(&gone).doing(|| format!("remove {}", gone.display()))
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// Docker's texts for a bad or taken name.
    pub async fn rename(self: &Arc<Self>, reference: &str, name: &str) -> Result<()> {
        let container = self.find(reference)?;
        let name = name.trim_start_matches('/');
        if name.is_empty() {
            return Err(Error::Invalid(
                "Neither old nor new names may be empty".into(),
            ));
        }
        if !names::valid(name) {
            return Err(Error::Invalid(format!(
                "Error when allocating new name: Invalid container name (/{name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are \
                 allowed"
            )));
        }
        let _guard = container.operation.lock().await;
        let old = container.name();
        if old == name {
            return Err(Error::Invalid(
                "Renaming a container with the same name as its current name".into(),
            ));
        }
        {
            let mut table = self
                .containers
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            table.reserve(name, container.id()).map_err(|error| {
                Error::Conflict(format!("Error when allocating new name: {error}"))
            })?;
        }
        container.data().record.name = name.to_owned();
        let target = Arc::clone(&container);
        if let Err(error) = blocking(move || target.save_record()).await? {
            container.data().record.name = old;
            self.containers
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .release(name);
            return Err(error);
        }
        self.containers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .release(&old);
        self.networks.rename(container.id(), &old, name);
        self.container_event(&container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }
}
