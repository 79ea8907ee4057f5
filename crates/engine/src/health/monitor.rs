//! Running the probes of a container while it runs.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::{HealthCheck, HealthStatus, Output, ProbeResult};
use crate::container::Container;
use crate::engine::Engine;
use crate::error::Result;
use crate::exec::ExecRequest;
use crate::{signals, task, time};

impl Engine {
    /// Begins to probe a container that has just been started or thawed, if it has a check.
    pub(crate) fn begin_probing(self: &Arc<Self>, container: &Arc<Container>) {
        self.begin_probing_in(container, None);
    }

    /// The same, with the first probe after `first` instead of what the check says.
    pub(crate) fn begin_probing_in(
        self: &Arc<Self>,
        container: &Arc<Container>,
        first: Option<Duration>,
    ) {
        let (check, since, stopped) = {
            let mut data = container.data();
            let Some(check) = HealthCheck::of(&data.record.config) else {
                return;
            };
            let Some(since) = data.running.as_ref().map(|running| running.since) else {
                return;
            };
            let (stop, stopped) = oneshot::channel();
            data.probing = Some(stop);
            (check, since, stopped)
        };
        let (engine, target) = (Arc::clone(self), Arc::clone(container));
        task::spawn(
            format!("health check of container {}", container.id()),
            async move {
                engine
                    .probe_until(&target, &check, since, first, stopped)
                    .await;
            },
        );
    }

    async fn probe_until(
        self: &Arc<Self>,
        container: &Arc<Container>,
        check: &HealthCheck,
        since: Instant,
        mut first: Option<Duration>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        loop {
            let pause = {
                let mut data = container.data();
                let status = data
                    .state
                    .health
                    .as_ref()
                    .map_or(HealthStatus::Starting, |health| health.status);
                let pause = first
                    .take()
                    .unwrap_or_else(|| check.pause(since.elapsed(), status));
                data.probe_due = Some(Instant::now() + pause);
                pause
            };
            tokio::select! {
                _ = &mut stopped => return,
                () = sleep(pause) => {}
            }
            let since_start = since.elapsed();
            let result = tokio::select! {
                // The probe's process ends with the container, or is frozen with it.
                _ = &mut stopped => return,
                result = self.probe(container, check) => result,
            };
            let change = {
                let mut data = container.data();
                // Under the lock: what has stopped the probing has decided about the status.
                if data.probing.is_none() {
                    return;
                }
                let health = data.state.health.get_or_insert_default();
                health.record(check, result, since_start)
            };
            container.save_state();
            if let Some(status) = change {
                let action = format!("health_status: {}", status.name());
                self.container_event(container, &action, &[]);
            }
        }
    }

    /// Runs one probe.
    async fn probe(
        self: &Arc<Self>,
        container: &Arc<Container>,
        check: &HealthCheck,
    ) -> ProbeResult {
        let start = time::now();
        let (exit_code, output) = self
            .run_probe(container, check)
            .await
            .unwrap_or_else(|error| (-1, error.to_string()));
        ProbeResult {
            start,
            end: time::now(),
            exit_code,
            output,
        }
    }

    async fn run_probe(
        self: &Arc<Self>,
        container: &Arc<Container>,
        check: &HealthCheck,
    ) -> Result<(i64, String)> {
        let request = ExecRequest {
            command: check.command.clone(),
            stdout: true,
            stderr: true,
            ..ExecRequest::default()
        };
        let id = self.register_exec(container, request, false)?;
        let exec = self.find_exec(&id)?;
        let forget = || {
            let mut execs = self.execs.lock().unwrap_or_else(PoisonError::into_inner);
            execs.remove(&id);
        };
        let received = exec.streams.subscribe(true, true);
        let started = self.exec_claim(&exec).map(|()| self.exec_start(&exec));
        let started = match started {
            Ok(start) => start.await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            forget();
            return Err(error);
        }
        let mut output = Output::default();
        let in_time = match received {
            None => true,
            Some(mut received) => {
                let all = async {
                    while let Some((_, chunk)) = received.recv().await {
                        output.push(&chunk);
                    }
                };
                timeout(check.timeout, all).await.is_ok()
            }
        };
        forget();
        if in_time {
            let code = exec.state().exit_code.unwrap_or(-1);
            return Ok((code, output.text()));
        }
        exec.signal(signals::KILL)?;
        let mut text = format!(
            "Health check exceeded timeout ({})",
            go_duration(check.timeout)
        );
        if !output.bytes.is_empty() {
            text.push_str(": ");
            text.push_str(&output.text());
        }
        Ok((-1, text))
    }
}

impl Container {
    /// Ends the probing. A container that nobody probes counts as unhealthy, as in Docker.
    pub(crate) fn end_probing(&self) {
        let mut data = self.data();
        // Dropping the sender wakes the task.
        if data.probing.take().is_some()
            && let Some(health) = &mut data.state.health
        {
            health.status = HealthStatus::Unhealthy;
        }
    }
}

/// A span as Go prints it: `1m30s`, `1.5s`, `100ms`.
fn go_duration(span: Duration) -> String {
    let fraction = |nanoseconds: u128, unit: u128| {
        let text = format!(
            "{}.{:0width$}",
            nanoseconds / unit,
            nanoseconds % unit,
            width = unit.ilog10() as usize
        );
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let nanoseconds = span.as_nanos();
    match nanoseconds {
        0 => return "0s".into(),
        1..1_000 => return format!("{nanoseconds}ns"),
        1_000..1_000_000 => return format!("{}µs", fraction(nanoseconds, 1_000)),
        1_000_000..1_000_000_000 => return format!("{}ms", fraction(nanoseconds, 1_000_000)),
        _ => {}
    }
    let (hours, minutes) = (span.as_secs() / 3600, span.as_secs() / 60 % 60);
    let seconds = fraction(nanoseconds % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_printed_as_go_prints_them() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_000_000_000, "1s"),
            (1_050_000_000, "1.05s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanoseconds)), expected);
        }
    }
}
