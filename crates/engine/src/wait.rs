//! Waiting for a container's end.

use tokio::sync::watch;

use crate::container::Progress;
use crate::engine::Engine;
use crate::error::Result;

/// What to wait for (API: `condition`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WaitCondition {
    /// It does not run: at once when that is so already. An end that a restart follows counts.
    #[default]
    NotRunning,
    /// The end of the present or of the next run.
    NextExit,
    /// It exists no more.
    Removed,
}

/// A wait that has begun: nothing that happens after its making is missed.
#[derive(Debug)]
pub struct Waiter {
    progress: watch::Receiver<Progress>,
    condition: WaitCondition,
    exits_before: u64,
}

/// The end that was waited for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// Exit code of the last run.
    pub exit_code: i64,
    /// Why it could not be started, if so.
    pub error: String,
}

impl Engine {
    /// Begins to wait.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn wait(&self, reference: &str, condition: WaitCondition) -> Result<Waiter> {
        let mut progress = self.find(reference)?.watch();
        let exits_before = progress.borrow_and_update().exits;
        Ok(Waiter {
            progress,
            condition,
            exits_before,
        })
    }
}

impl Waiter {
    /// Waits.
    pub async fn ended(mut self) -> Ended {
        let (condition, before) = (self.condition, self.exits_before);
        let reached = |progress: &Progress| {
            progress.removed
                || match condition {
                    WaitCondition::NotRunning => !progress.active || progress.exits > before,
                    WaitCondition::NextExit => progress.exits > before,
                    WaitCondition::Removed => false,
                }
        };
        // An error means that the container is forgotten: its last word counts.
        let _ = self.progress.wait_for(reached).await;
        let progress = self.progress.borrow();
        let error = match condition {
            WaitCondition::NotRunning => progress.error.clone(),
            // Docker: whoever waits for an end gets the code alone, the reason is the answer to the start.
            WaitCondition::NextExit | WaitCondition::Removed => String::new(),
        };
        Ended {
            exit_code: progress.exit_code,
            error,
        }
    }
}
