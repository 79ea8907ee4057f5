//! Running out of memory, as it happens: the kernel tells of changes of a control group's `memory.events` by inotify
//! (`admin-guide/cgroup-v2.rst`, "memory.events").

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::{pump, task};

/// One descriptor for the files of all containers.
#[derive(Debug)]
pub struct OomWatch {
    inotify: OwnedFd,
    watched: Mutex<HashMap<i32, Weak<Container>>>,
}

impl OomWatch {
    /// Makes the descriptor.
    ///
    /// # Errors
    /// That of `inotify_init1(2)`.
    pub fn new() -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            inotify,
            watched: Mutex::default(),
        })
    }

    /// Watches a container's file; gives the watch's number. `None` where the kernel has no such file.
    fn add(&self, file: &Path, container: &Arc<Container>) -> Option<i32> {
        // Under the lock: the first change may come before the number is known.
        let mut watched = self.watched();
        match add_watch(&self.inotify, file, WatchFlags::MODIFY) {
            Ok(number) => {
                watched.insert(number, Arc::downgrade(container));
                Some(number)
            }
            Err(Errno::NOENT) => None,
            Err(error) => {
                tracing::warn!("watch {}: {error}", file.display());
                None
            }
        }
    }

    fn remove(&self, number: i32) {
        if self.watched().remove(&number).is_some() {
            // The file may have gone, and the watch with it.
            let _ = remove_watch(&self.inotify, number);
        }
    }

    /// Takes the changes that have happened.
    fn changed(&self) -> Vec<Arc<Container>> {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut numbers = Vec::new();
        // It ends with "would block".
        while let Ok(event) = reader.next() {
            if !numbers.contains(&event.wd()) {
                numbers.push(event.wd());
            }
        }
        let watched = self.watched();
        let containers = numbers.iter().filter_map(|number| watched.get(number));
        containers.filter_map(Weak::upgrade).collect()
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<i32, Weak<Container>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Serves the watch as long as the engine exists. Call it inside the runtime.
    pub(crate) fn serve_oom_watch(self: &Arc<Self>) {
        let copy = self.oom_watch.inotify.try_clone();
        let engine = Arc::downgrade(self);
        task::spawn("memory events".into(), async move {
            // No pipe, but polled as one.
            let ready = match copy.and_then(pump::reader) {
                Ok(ready) => ready,
                Err(error) => return tracing::error!("watch for memory events: {error}"),
            };
            while ready.readable().await.is_ok() {
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                let _task = engine.work().begin("memory events").await;
                let changed = engine.oom_watch.changed();
                // Everything was read: this one finds nothing, and so ends the readiness.
                let _ = ready.try_read(&mut [0]);
                let work = move || {
                    for container in changed {
                        engine.look_for_oom(&container);
                    }
                };
                if let Err(error) = blocking(work).await {
                    tracing::error!("{error}");
                }
            }
        });
    }

    /// Begins to watch a container that has just been started.
    pub(crate) fn begin_oom_watch(&self, container: &Arc<Container>) {
        let file = self
            .cgroup_of(&container.data().record)
            .dir()
            .join("memory.events");
        let number = self.oom_watch.add(&file, container);
        let mut data = container.data();
        data.oom_watch = number;
        data.oom_kills = 0;
    }

    /// Goes on watching a container of which a predecessor has seen so many kills.
    pub(crate) fn resume_oom_watch(&self, container: &Arc<Container>, kills: u64) {
        self.begin_oom_watch(container);
        container.data().oom_kills = kills;
        // What happened in between.
        self.look_for_oom(container);
    }

    /// Ends the watch of a container that has ended.
    pub(crate) fn end_oom_watch(&self, container: &Container) {
        if let Some(number) = container.data().oom_watch.take() {
            self.oom_watch.remove(number);
        }
    }

    /// Publishes `oom` when the kernel has killed something for lack of memory since the last look; tells whether it ever
    /// has in this run.
    pub(crate) fn look_for_oom(&self, container: &Container) -> bool {
        let kills = self.cgroup_of(&container.data().record).oom_kills();
        let new = {
            let mut data = container.data();
            let new = kills > data.oom_kills;
            data.oom_kills = data.oom_kills.max(kills);
            if new {
                data.state.oom_killed = true;
            }
            new
        };
        if new {
            container.save_state();
            self.container_event(container, "oom", &[]);
        }
        kills > 0
    }
}

#[cfg(test)]
mod tests {
    use crate::record::{Record, State};

    use super::*;

    #[tokio::test]
    async fn a_change_leads_to_its_container() {
        let dir = tempfile::tempdir().unwrap();
        let watch = OomWatch::new().unwrap();
        let container = |id: &str| {
            let record = Record {
                id: id.into(),
                ..Record::default()
            };
            Arc::new(Container::new(dir.path().into(), record, State::default()))
        };
        let (one, two) = (container("one"), container("two"));
        let file = |name: &str| dir.path().join(name);
        for name in ["one", "two"] {
            std::fs::write(file(name), "").unwrap();
        }
        assert_eq!(watch.add(&file("none"), &one), None);
        let first = watch.add(&file("one"), &one).unwrap();
        watch.add(&file("two"), &two).unwrap();
        assert!(watch.changed().is_empty());
        std::fs::write(file("two"), "oom_kill 1\n").unwrap();
        let found: Vec<_> = watch
            .changed()
            .iter()
            .map(|found| found.id().to_owned())
            .collect();
        assert_eq!(found, ["two"]);
        watch.remove(first);
        std::fs::write(file("one"), "oom_kill 1\n").unwrap();
        assert!(watch.changed().is_empty());
    }
}
