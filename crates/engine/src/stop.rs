//! Signals, stopping, restarting and freezing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::record::Status;
use crate::signals::{self, KILL, TERM};

/// How long a container may take to stop when nothing else was said (Docker's default).
pub(crate) const STOP_TIMEOUT: i64 = 10;
/// How long the kernel may take to end a killed process before a client is told.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How often a frozen group is looked at, and for how long.
const FREEZE_POLL: Duration = Duration::from_millis(2);
const FREEZE_WAIT: Duration = Duration::from_secs(10);

impl Engine {
    /// Stops a container: `signal` or its own stop signal, and SIGKILL after `timeout` seconds (-1: never).
    ///
    /// # Errors
    /// [`Error::NotModified`] when it does not run.
    pub async fn stop(
        self: &Arc<Self>,
        reference: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let container = self.find(reference)?;
        if !container.is_active() {
            return Err(Error::NotModified);
        }
        self.stop_container(&container, signal, timeout).await
    }

    pub(crate) async fn stop_container(
        self: &Arc<Self>,
        container: &Arc<Container>,
        signal: Option<&str>,
        seconds: Option<i64>,
    ) -> Result<()> {
        let mut progress = container.watch();
        let (signal, seconds) = {
            let mut data = container.data();
            if !self.is_shutting_down() {
                data.state.stopped_by_user = true;
            }
            let config = &data.record.config;
            let own = config
                .stop_signal
                .as_deref()
                .filter(|signal| !signal.is_empty());
            let signal = signal.or(own).map_or(Ok(TERM), signals::parse)?;
            (
                signal,
                seconds.or(config.stop_timeout).unwrap_or(STOP_TIMEOUT),
            )
        };
        container.save_state();
        if self.cancel_restart(container).await {
            self.container_event(container, "stop", &[]);
            return Ok(());
        }
        self.signal(container, signal)?;
        self.thaw(container).await?;
        let ended = progress.wait_for(|progress| !progress.active);
        let in_time = match u64::try_from(seconds) {
            Ok(seconds) => timeout(Duration::from_secs(seconds), ended).await.is_ok(),
            Err(_) => ended.await.is_ok(),
        };
        if !in_time {
            self.kill_and_wait(container).await?;
        }
        self.container_event(container, "stop", &[]);
        Ok(())
    }

    /// Kills everything in a container and waits for its end.
    pub(crate) async fn kill_and_wait(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        let mut progress = container.watch();
        self.signal(container, KILL)?;
        let cgroup = self.cgroup_of(&container.data().record);
        blocking(move || cgroup.kill()).await?;
        let ended = timeout(KILL_WAIT, progress.wait_for(|progress| !progress.active)).await;
        match ended {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Internal(format!(
                "container {} did not end {} seconds after being killed",
                container.id(),
                KILL_WAIT.as_secs()
            ))),
        }
    }

    /// Sends a signal for a client (`docker kill`).
    ///
    /// # Errors
    /// Docker's text when it does not run.
    pub async fn kill(self: &Arc<Self>, reference: &str, signal: Option<&str>) -> Result<()> {
        let container = self.find(reference)?;
        let number = signal
            .filter(|signal| !signal.is_empty())
            .map_or(Ok(KILL), signals::parse)
            .map_err(|error| {
                Error::Invalid(format!("cannot kill container: {reference}: {error}"))
            })?;
        let stop_signal = {
            let data = container.data();
            if !data.state.status.is_active() {
                return Err(Error::Conflict(format!(
                    "cannot kill container: {reference}: container {} is not running",
                    container.id()
                )));
            }
            let own = data
                .record
                .config
                .stop_signal
                .as_deref()
                .filter(|signal| !signal.is_empty());
            own.map_or(Ok(TERM), signals::parse)?
        };
        if number == KILL || number == stop_signal {
            container.data().state.stopped_by_user = true;
            container.save_state();
            if self.cancel_restart(&container).await {
                return Ok(());
            }
        }
        if number == KILL {
            // Docker's client expects the container to be gone when the call returns.
            return self.kill_and_wait(&container).await;
        }
        self.signal(&container, number)
    }

    /// Sends a signal to the first process and publishes `kill`.
    pub(crate) fn signal(&self, container: &Container, number: i32) -> Result<()> {
        {
            let data = container.data();
            let Some(running) = &data.running else {
                return Ok(());
            };
            signals::send(&running.pidfd, number)?;
        }
        self.container_event(container, "kill", &[("signal", number.to_string())]);
        Ok(())
    }

    /// Stops a container if it runs, and starts it.
    ///
    /// # Errors
    /// Those of both.
    pub async fn restart(
        self: &Arc<Self>,
        reference: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let container = self.find(reference)?;
        if container.is_active() {
            // A container that goes away when it stops cannot be restarted otherwise.
            let auto_remove = container
                .data()
                .record
                .host_config
                .auto_remove
                .replace(false);
            let stopped = self.stop_container(&container, signal, timeout).await;
            container.data().record.host_config.auto_remove = auto_remove;
            stopped?;
        }
        self.start_container(&container).await?;
        self.container_event(&container, "restart", &[]);
        Ok(())
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// Docker's texts when it does not run or is frozen.
    pub async fn pause(self: &Arc<Self>, reference: &str) -> Result<()> {
        let container = self.find(reference)?;
        let _guard = container.operation.lock().await;
        match container.data().state.status {
            Status::Running => {}
            Status::Paused => {
                return Err(Error::Conflict(format!(
                    "Container {} is already paused",
                    container.id()
                )));
            }
            Status::Restarting => {
                return Err(Error::Conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    container.id()
                )));
            }
            _ => {
                return Err(Error::not_running(container.id()));
            }
        }
        self.freeze(&container, true).await?;
        container.data().state.status = Status::Paused;
        container.end_probing();
        container.save_state();
        self.container_event(&container, "pause", &[]);
        Ok(())
    }

    /// Thaws a container.
    ///
    /// # Errors
    /// Docker's text when it is not frozen.
    pub async fn unpause(self: &Arc<Self>, reference: &str) -> Result<()> {
        let container = self.find(reference)?;
        let _guard = container.operation.lock().await;
        if container.data().state.status != Status::Paused {
            return Err(Error::Conflict(format!(
                "Container {} is not paused",
                container.id()
            )));
        }
        self.thaw(&container).await
    }

    async fn thaw(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        if container.data().state.status != Status::Paused {
            return Ok(());
        }
        self.freeze(container, false).await?;
        container.data().state.status = Status::Running;
        container.save_state();
        self.container_event(container, "unpause", &[]);
        self.begin_probing(container);
        Ok(())
    }

    pub(crate) async fn freeze(&self, container: &Container, frozen: bool) -> Result<()> {
        let cgroup = self.cgroup_of(&container.data().record);
        cgroup.freeze(frozen)?;
        // The kernel's notification would need a descriptor per container for an event of milliseconds.
        let deadline = Instant::now() + FREEZE_WAIT;
        while cgroup.is_frozen() != frozen {
            if Instant::now() > deadline {
                return Err(Error::Internal(format!(
                    "container {} could not be frozen",
                    container.id()
                )));
            }
            sleep(FREEZE_POLL).await;
        }
        Ok(())
    }
}
