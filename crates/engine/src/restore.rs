//! What happens with containers when the engine starts and stops.

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Doing, Error, Result};
use crate::handover::Former;
use crate::health::HealthStatus;
use crate::record::Status;
use crate::restart::Policy;
use crate::rootfs::detach;
use crate::stop::STOP_TIMEOUT;
use crate::{disk, listen, time};

/// How many threads read containers: each mostly waits for the disk.
const READERS: usize = 4;

/// What is in these containers' directories, in their order.
fn read_all(dirs: &[PathBuf]) -> Vec<Result<Container>> {
    let read = |dir: &PathBuf| {
        disk::remove_unfinished(dir);
        Container::load(dir.clone())
    };
    let part = dirs.len().div_ceil(READERS).max(1);
    thread::scope(|scope| {
        let readers: Vec<_> = dirs
            .chunks(part)
            .map(|dirs| scope.spawn(move || dirs.iter().map(read).collect::<Vec<_>>()))
            .collect();
        readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

impl Engine {
    /// Reads every container under `dir`. One whose record is damaged is left alone and reported.
    pub(crate) fn load_containers(&self, dir: &Path, former: &Former) -> Result<()> {
        self.cgroups.clear(|id| former.container(id).is_some());
        let (cut_short, dirs): (Vec<_>, Vec<_>) = fs::read_dir(dir)
            .doing(|| format!("list {}", dir.display()))?
            .flatten()
            .map(|entry| entry.path())
            .partition(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "removed")
            });
        let remove =
            |path: &Path| fs::remove_dir_all(path).doing(|| format!("remove {}", path.display()));
        for path in cut_short {
            remove(&path)?;
        }
        for (path, loaded) in dirs.iter().zip(read_all(&dirs)) {
            match loaded {
                Ok(container) => self.adopt_loaded(container, former),
                // Without a record it was never promised to anybody: its creation was cut short.
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    remove(path)?;
                }
                Err(error) => tracing::error!("container left out: {error}"),
            }
        }
        Ok(())
    }

    fn adopt_loaded(&self, container: Container, former: &Former) {
        let container = Arc::new(container);
        {
            let mut table = self
                .containers
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = table.reserve(&container.name(), container.id()) {
                tracing::error!("container {} left out: {error}", container.id());
                return;
            }
            table.insert(Arc::clone(&container));
        }
        let record = container.data().record.clone();
        if let Some(before) = former.container(container.id()) {
            container.data().state = before.state.clone();
            // Nothing of it has changed.
            return;
        }
        let changed = {
            let mut data = container.data();
            let was_active = data.state.status.is_active();
            if was_active {
                // Nobody knows how it ended; Docker says 255.
                data.state.status = Status::Exited;
                data.state.exit_code = 255;
                data.state.finished_at = time::now();
                data.state.pid = 0;
                if let Some(health) = &mut data.state.health {
                    health.status = HealthStatus::Unhealthy;
                }
            }
            was_active
        };
        let cgroup = self.cgroup_of(&record);
        cgroup.kill();
        cgroup.remove();
        if let Err(error) = self.runtime.delete(&record.id) {
            tracing::warn!("{error}");
        }
        self.unstage(&record.id);
        let bundle = self.bundle(&record.id);
        detach(&bundle.join("shm"));
        // Leftovers in a tmpfs; a new run makes its own.
        let _ = fs::remove_dir_all(&bundle);
        if changed {
            container.save_state();
        }
        let sockets = listen::parse(record.label(listen::LABEL).unwrap_or_default());
        if let Err(error) = sockets.and_then(|sockets| self.listeners.descriptors(&sockets)) {
            tracing::error!("container {}: {error}", record.name);
        }
    }

    /// Starts the containers whose restart policy asks for it, oldest first, and removes those made with `--rm` that a
    /// former engine left behind. Failures are reported in the log.
    pub async fn start_by_policy(self: &Arc<Self>) {
        let mut containers = self.all();
        containers.sort_by_key(|container| container.data().record.created.clone());
        for container in containers {
            let (start, remove) = {
                let data = container.data();
                let policy = Policy::parse(data.record.host_config.restart_policy.as_ref())
                    .unwrap_or(Policy::No);
                let started_before = data.state.status == Status::Exited;
                let start = started_before
                    && policy
                        .wants_start_with_engine(data.state.exit_code, data.state.stopped_by_user);
                (
                    start,
                    started_before && data.record.host_config.auto_remove.unwrap_or(false),
                )
            };
            if remove {
                self.remove_quietly(&container).await;
            } else if start && let Err(error) = self.start_container(&container).await {
                tracing::error!("start container {}: {error}", container.name());
            }
        }
    }

    /// Stops every container, the last started first, each with its own stop signal and timeout; when `limit` has passed
    /// the rest is killed. No restart policy applies any more, and nothing counts as stopped by a user.
    pub async fn shutdown(self: &Arc<Self>, limit: Option<Duration>) {
        self.shutting_down.store(true, Ordering::SeqCst);
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut containers: Vec<_> = self
            .all()
            .into_iter()
            .filter(|container| container.is_active())
            .collect();
        containers.sort_by_key(|container| std::cmp::Reverse(container.data().state.start_order));
        for container in containers {
            let own = container.data().record.config.stop_timeout;
            let left = deadline
                .map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs());
            let left = left.map(|left| i64::try_from(left).unwrap_or(i64::MAX));
            let seconds = match (own.or(Some(STOP_TIMEOUT)).filter(|own| *own >= 0), left) {
                (Some(own), Some(left)) => Some(own.min(left)),
                (own, left) => own.or(left),
            };
            if let Err(error) = self.stop_container(&container, None, seconds).await {
                tracing::error!("stop container {}: {error}", container.name());
            }
        }
    }

    /// Whether [`Engine::shutdown`] has begun.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::SeqCst)
    }
}
