//! Writing down what a successor needs.

use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::execute::Departure;
use super::{
    ContainerState, ExecHandover, Handover, InputEnd, Keeper, OutputEnd, Run, StreamEnds, kernel,
};
use crate::container::Container;
use crate::engine::Engine;
use crate::exec::Exec;
use crate::pump::Left;
use crate::record::Status;
use crate::{signals, time};

/// How long logs may take to be written out. A disk that takes longer must not stop everything else.
const SETTLE: Duration = Duration::from_secs(10);

impl Engine {
    /// Stops everything and writes it down. [`Engine::reload_wanted`] has ended before; the engine must be dropped after.
    /// `api` is the API's listening socket.
    pub async fn hand_over(self: &Arc<Self>, api: OwnedFd) -> Departure {
        let deadline = tokio::time::Instant::now() + SETTLE;
        let mut keeper = Keeper::default();
        let mut containers = Vec::new();
        for container in self.all() {
            containers.push(hand_over_container(&container, &mut keeper, deadline).await);
        }
        let execs: Vec<Arc<Exec>> = {
            let execs = self.execs.lock().unwrap_or_else(PoisonError::into_inner);
            execs.values().cloned().collect()
        };
        let mut handed = Vec::new();
        for exec in execs {
            if exec.remembered {
                handed.push(hand_over_exec(&exec, &mut keeper).await);
            } else if let Err(error) = exec.signal(signals::KILL) {
                // A probe; the successor begins it anew.
                tracing::warn!("{error}");
            }
        }
        let listeners = self.listeners.copies().unwrap_or_else(|error| {
            tracing::error!("keep sockets of containers: {error}");
            Vec::new()
        });
        let networks = self.networks.hand_over(&mut keeper);
        let handover = Handover {
            version: Handover::VERSION,
            generation: self.generation + 1,
            started: time::format(self.started()),
            starts: self.starts_so_far(),
            api: Some(keeper.keep(api)),
            connections: Vec::new(),
            listeners: listeners
                .into_iter()
                .map(|(path, fd)| (path, keeper.keep(fd)))
                .collect(),
            containers,
            execs: handed,
            roots: self.roots.all_users(),
            volumes: self.volumes.all_users(),
            networks: networks.unwrap_or_else(|error| {
                tracing::error!("keep sockets of networks: {error}");
                Default::default()
            }),
            events: self.events.past(),
        };
        Departure { handover, keeper }
    }
}

async fn hand_over_container(
    container: &Container,
    keeper: &mut Keeper,
    deadline: tokio::time::Instant,
) -> ContainerState {
    let (pulled, log, streams) = {
        let data = container.data();
        let brake = data.running.as_ref().and_then(|run| run.brake.as_ref());
        (
            brake.map(crate::pump::Brake::pull),
            data.log.clone(),
            Arc::clone(&data.streams),
        )
    };
    let left = match pulled {
        Some(pulled) => pulled.await,
        None => Vec::new(),
    };
    // Attached clients read what is in their queues, then the end.
    streams.close();
    if let Some(log) = log
        && timeout_at(deadline, log.settle()).await.is_err()
    {
        tracing::error!("the log of container {} is not written out", container.id());
    }
    let mut data = container.data();
    let probes_now = data.probing.is_some();
    let terminal = data.running.as_mut().and_then(|run| run.terminal.take());
    let now = Instant::now();
    let until = |due: Option<Instant>| due.map(|due| millis(due.saturating_duration_since(now)));
    let run = data.running.as_ref().map(|running| {
        let pid = running.pid.as_raw_nonzero().get();
        Run {
            pid,
            pid_started: kernel::started(pid).unwrap_or_default(),
            age: millis(running.since.elapsed()),
            root_of: running.root_of.clone(),
            oom_kills: data.oom_kills,
            probe_in: until(data.probe_due).filter(|_| probes_now),
            streams: ends(left, terminal, keeper),
        }
    });
    ContainerState {
        id: container.id().to_owned(),
        state: data.state.clone(),
        run,
        restart_in: until(data.restart_due)
            .filter(|_| data.state.status == Status::Restarting && data.restart_cancel.is_some()),
        backoff: millis(data.backoff.last()),
        terminal_size: data.terminal_size,
    }
}

async fn hand_over_exec(exec: &Exec, keeper: &mut Keeper) -> ExecHandover {
    let pulled = {
        let state = exec.state();
        state.brake.as_ref().map(crate::pump::Brake::pull)
    };
    let left = match pulled {
        Some(pulled) => pulled.await,
        None => Vec::new(),
    };
    exec.streams.close();
    let mut state = exec.state();
    let terminal = state.terminal.take();
    let started = state.running.then(|| kernel::started(state.pid)).flatten();
    ExecHandover {
        id: exec.id.clone(),
        container: exec.container.id().to_owned(),
        request: exec.request.clone(),
        started: state.started,
        exit_code: state.exit_code,
        pid: state.pid,
        pid_started: started,
        size: state.size,
        streams: ends(left, terminal, keeper),
    }
}

fn ends(left: Vec<Left>, terminal: Option<OwnedFd>, keeper: &mut Keeper) -> StreamEnds {
    let mut ends = StreamEnds {
        terminal: terminal.map(|fd| keeper.keep(fd)),
        ..StreamEnds::default()
    };
    for one in left {
        match one {
            Left::Output(stream, fd, line) => ends.outputs.push(OutputEnd {
                stream,
                end: keeper.keep(fd),
                line,
            }),
            Left::Input(fd, waiting, closes) => {
                ends.input = Some(InputEnd {
                    end: keeper.keep(fd),
                    waiting,
                    closes,
                });
            }
        }
    }
    ends
}

fn millis(span: Duration) -> u64 {
    // Half a billion years fit.
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
