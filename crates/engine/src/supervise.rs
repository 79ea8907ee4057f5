//! A container's end: in order, its output is read out, `die` is published, those who wait are told, attached clients
//! get their end, and the container is removed or started again as configured.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::container::{Container, Data};
use crate::engine::{Engine, blocking};
use crate::logs::Log;
use crate::reaper::Exit;
use crate::record::{State, Status};
use crate::restart::Policy;
use crate::start::Launched;
use crate::streams::Streams;
use crate::{task, time};

/// How long output may still come after the end: a process that escaped the control group may hold the pipe for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// What follows an end.
enum Next {
    Nothing,
    Remove,
    Restart {
        pause: Duration,
        cancelled: oneshot::Receiver<()>,
    },
}

impl Engine {
    /// [`Engine::supervise`] with a type that can be named: it may start the container, which supervises it again.
    pub(crate) fn supervised(
        self: Arc<Self>,
        container: Arc<Container>,
        launched: Launched,
        streams: Arc<Streams>,
        log: Option<Arc<Log>>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.supervise(container, launched, streams, log))
    }

    async fn supervise(
        self: Arc<Self>,
        container: Arc<Container>,
        launched: Launched,
        streams: Arc<Streams>,
        log: Option<Arc<Log>>,
    ) {
        let Launched {
            child,
            mut pumps,
            root_of,
        } = launched;
        let Ok(exit) = child.exit.await else {
            tracing::error!(
                "lost track of container {}: the reaper has ended",
                container.id()
            );
            return;
        };
        let record = container.data().record.clone();
        // Before waiting for the output: what is left of the container must not keep its pipes.
        let cgroup = self.cgroup_of(&record);
        let oom_killed = {
            let (engine, target) = (Arc::clone(&self), Arc::clone(&container));
            let check = move || {
                engine.end_oom_watch(&target);
                let oom = engine.look_for_oom(&target);
                cgroup.kill();
                oom
            };
            blocking(check).await.unwrap_or(false)
        };
        if let Some(input) = pumps.input.take() {
            input.abort();
        }
        drain(pumps.outputs).await;
        let guard = container.operation.lock().await;
        let engine = Arc::clone(&self);
        let taken_down = blocking(move || engine.take_down(&record, &root_of)).await;
        if let Err(error) = taken_down {
            tracing::error!("{error}");
        }
        let next = self.record_end(&container, &exit, oom_killed);
        container.save_state();
        let code = exit.code();
        let seconds = self.run_seconds(&container, &exit);
        self.container_event(
            &container,
            "die",
            &[
                ("exitCode", code.to_string()),
                ("execDuration", seconds.to_string()),
            ],
        );
        self.finish_run(&container, &streams);
        // Last: who has followed the log to its end finds the container ended.
        if let Some(log) = &log {
            log.close();
        }
        drop(guard);
        match next {
            Next::Nothing => {}
            Next::Remove => self.remove_quietly(&container).await,
            Next::Restart { pause, cancelled } => {
                let engine = Arc::clone(&self);
                engine.spawn_restart(container, pause, cancelled);
            }
        }
    }

    /// Writes down how the run ended, and decides what follows.
    fn record_end(&self, container: &Container, exit: &Exit, oom_killed: bool) -> Next {
        container.end_probing();
        let mut data = container.data();
        let code = exit.code();
        let run = data
            .running
            .take()
            .map_or(Duration::ZERO, |running| running.since.elapsed());
        data.terminal_size = None;
        data.execs.clear();
        data.state.pid = 0;
        data.state.exit_code = code;
        data.state.oom_killed = oom_killed;
        data.state.finished_at = time::format(exit.at);
        if let Some((pause, cancelled)) = self.plan_restart(&mut data, run) {
            return Next::Restart { pause, cancelled };
        }
        data.state.status = Status::Exited;
        let auto_remove = data.record.host_config.auto_remove.unwrap_or(false);
        if auto_remove && !data.removing {
            Next::Remove
        } else {
            Next::Nothing
        }
    }

    /// Tells those who wait, and ends the streams.
    pub(crate) fn finish_run(&self, container: &Container, streams: &Streams) {
        let (active, exit_code, error) = {
            let mut data = container.data();
            // Whoever attaches from now on waits for the next run.
            data.streams = Arc::default();
            (
                data.state.status.is_active(),
                data.state.exit_code,
                data.state.error.clone(),
            )
        };
        container.announce(|progress| {
            progress.exits += 1;
            progress.active = active;
            progress.exit_code = exit_code;
            progress.error = error;
        });
        streams.close();
    }

    fn run_seconds(&self, container: &Container, exit: &Exit) -> i64 {
        let started = time::parse(&container.data().state.started_at);
        started.map_or(0, |started| exit.at.as_second() - started.as_second())
    }

    /// Starts a container again after a pause, unless that is called off.
    pub(crate) fn spawn_restart(
        self: Arc<Self>,
        container: Arc<Container>,
        pause: Duration,
        cancelled: oneshot::Receiver<()>,
    ) {
        let name = format!("restart of container {}", container.id());
        task::spawn(name, async move {
            self.restart_later(container, pause, cancelled).await
        });
    }

    async fn restart_later(
        self: Arc<Self>,
        container: Arc<Container>,
        mut pause: Duration,
        mut cancelled: oneshot::Receiver<()>,
    ) {
        loop {
            if tokio::time::timeout(pause, &mut cancelled).await.is_ok() {
                return;
            }
            let what = format!("restart of container {}", container.name());
            let _task = self.work().begin(what).await;
            let _guard = container.operation.lock().await;
            // Somebody may have called it off between the end of the pause and the lock.
            if container.data().restart_cancel.take().is_none() {
                return;
            }
            let Err(error) = self.run(&container).await else {
                return;
            };
            tracing::error!("restart container {}: {error}", container.id());
            // What was missing may come back (a volume's disk, the container whose network it joins): go on trying.
            let mut data = container.data();
            match self.plan_restart(&mut data, Duration::ZERO) {
                Some((next_pause, next_cancelled)) => {
                    (pause, cancelled) = (next_pause, next_cancelled)
                }
                None => return,
            }
        }
    }

    /// Decides about a restart after a run of this length, and prepares it.
    fn plan_restart(
        &self,
        data: &mut Data,
        run: Duration,
    ) -> Option<(Duration, oneshot::Receiver<()>)> {
        let policy =
            Policy::parse(data.record.host_config.restart_policy.as_ref()).unwrap_or(Policy::No);
        let State {
            exit_code,
            restart_count,
            stopped_by_user,
            ..
        } = data.state;
        if data.removing
            || self.is_shutting_down()
            || !policy.wants_restart(exit_code, restart_count, stopped_by_user)
        {
            return None;
        }
        data.state.restart_count += 1;
        data.state.status = Status::Restarting;
        let (cancel, cancelled) = oneshot::channel();
        data.restart_cancel = Some(cancel);
        let pause = data.backoff.next(run);
        data.restart_due = Some(Instant::now() + pause);
        Some((pause, cancelled))
    }

    /// Calls off a restart that waits. Tells whether there was one.
    pub(crate) async fn cancel_restart(&self, container: &Container) -> bool {
        let _guard = container.operation.lock().await;
        {
            let mut data = container.data();
            let Some(cancel) = data.restart_cancel.take() else {
                return false;
            };
            // The waiting task may have just ended.
            let _ = cancel.send(());
            data.state.status = Status::Exited;
        }
        container.save_state();
        container.announce(|progress| {
            progress.active = false;
            progress.exits += 1;
        });
        true
    }
}

/// Waits for the output's end, for a limited time.
pub(crate) async fn drain(outputs: Vec<JoinHandle<()>>) {
    let deadline = tokio::time::Instant::now() + DRAIN;
    for mut output in outputs {
        if tokio::time::timeout_at(deadline, &mut output)
            .await
            .is_err()
        {
            output.abort();
        }
    }
}
