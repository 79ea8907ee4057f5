//! Work that must not be cut in two when the engine hands over to a new version of itself: a container that is being
//! started, an image that is being pulled, an end that is being recorded.
//!
//! Whoever does such a thing holds a [`Task`] meanwhile. A hand-over waits until nobody holds one, and from then on none is
//! given: what would begin is left to the successor. Waiting (for a process's end, a timer, a client) is no work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How far a hand-over has got.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Phase {
    /// There is none.
    #[default]
    Open,
    /// Work is finished; nothing new is taken on from clients.
    Closing,
    /// No work is left, and none begins.
    Frozen,
}

/// The work of an engine. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Work(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tasks: Mutex<Tasks>,
    /// Counts ends of tasks.
    ended: watch::Sender<u64>,
    phase: watch::Sender<Phase>,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    /// There will be no hand-over any more.
    stays: bool,
    open: BTreeMap<u64, String>,
}

/// Something that is being done, until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Task {
    _held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    work: Work,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.work.tasks().open.remove(&self.number);
        self.work.0.ended.send_modify(|count| *count += 1);
    }
}

impl Work {
    /// Begins something, unless nothing may begin any more. `what` is for people.
    pub fn try_begin(&self, what: impl Into<String>) -> Option<Task> {
        let mut tasks = self.tasks();
        // Under the lock, with which it is set.
        if *self.0.phase.borrow() == Phase::Frozen {
            return None;
        }
        let number = tasks.next;
        tasks.next += 1;
        tasks.open.insert(number, what.into());
        drop(tasks);
        let work = self.clone();
        Some(Task {
            _held: Arc::new(Held { work, number }),
        })
    }

    /// Begins something as soon as it may: never, when the engine hands over.
    pub async fn begin(&self, what: impl Into<String>) -> Task {
        let what = what.into();
        let mut phase = self.phase();
        loop {
            if let Some(task) = self.try_begin(what.as_str()) {
                return task;
            }
            // The sender is ours: this cannot fail.
            let _ = phase.wait_for(|phase| *phase != Phase::Frozen).await;
        }
    }

    /// How far a hand-over has got, to be watched.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// Lets the work be finished, and allows none any more. Gives what goes on after `limit`: then everything is as before.
    ///
    /// # Errors
    /// What is still being done.
    pub async fn freeze(&self, limit: Duration) -> Result<(), Vec<String>> {
        self.0.phase.send_replace(Phase::Closing);
        let idle = async {
            let mut ended = self.0.ended.subscribe();
            loop {
                {
                    let tasks = self.tasks();
                    if tasks.open.is_empty() || tasks.stays {
                        let phase = if tasks.stays {
                            Phase::Open
                        } else {
                            Phase::Frozen
                        };
                        self.0.phase.send_replace(phase);
                        return !tasks.stays;
                    }
                }
                // The sender is ours: this cannot fail.
                let _ = ended.changed().await;
            }
        };
        match timeout(limit, idle).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(vec!["the engine is ending".to_owned()]),
            Err(_) => {
                self.0.phase.send_replace(Phase::Open);
                Err(self.tasks().open.values().cloned().collect())
            }
        }
    }

    /// Allows no hand-over from now on. False when it is too late for that.
    pub fn stay(&self) -> bool {
        let mut tasks = self.tasks();
        tasks.stays = *self.0.phase.borrow() != Phase::Frozen;
        let stays = tasks.stays;
        drop(tasks);
        self.0.ended.send_modify(|count| *count += 1);
        stays
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn work_is_finished_before_everything_stands_still() {
        let work = Work::default();
        let task = work.try_begin("one").unwrap();
        let copy = task.clone();
        drop(task);
        assert_eq!(
            work.freeze(Duration::ZERO).await,
            Err(vec!["one".to_owned()])
        );
        assert_eq!(*work.phase().borrow(), Phase::Open);
        let frozen = tokio::spawn({
            let work = work.clone();
            async move { work.freeze(Duration::from_secs(60)).await }
        });
        let mut phase = work.phase();
        phase
            .wait_for(|phase| *phase == Phase::Closing)
            .await
            .unwrap();
        // What is going on may need more of it.
        drop(work.try_begin("two").unwrap());
        drop(copy);
        assert_eq!(frozen.await.unwrap(), Ok(()));
        assert!(work.try_begin("three").is_none());
        assert!(work.begin("four").now_or_never().is_none());
        assert!(!work.stay());
    }

    #[tokio::test]
    async fn who_stays_does_not_stand_still() {
        let work = Work::default();
        assert!(work.stay());
        let refused = work.freeze(Duration::from_secs(60)).await;
        assert_eq!(refused, Err(vec!["the engine is ending".to_owned()]));
        assert!(work.try_begin("one").is_some());
    }
}
