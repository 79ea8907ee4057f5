//! Taking over: every process of the predecessor is served as if this engine had started it.

use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::oneshot;

use super::descriptors::Idle;
use super::state::IdleState;
use super::{ContainerState, ExecHandover, Handover, Inherited, Number, Run, StreamEnds, kernel};
use crate::container::{Container, Running};
use crate::engine::{Engine, Options};
use crate::error::{Doing, Error, Result};
use crate::events::Kind;
use crate::exec::{Exec, ExecState};
use crate::reaper::Expecting;
use crate::record::Status;
use crate::restart::{Backoff, Policy};
use crate::start::{Launched, open_log};
use crate::stdio::Ends;
use crate::{log_options, task, time};

/// What has come over an exec.
#[derive(Debug)]
pub struct Arrival {
    handover: std::result::Result<Handover, String>,
    inherited: Inherited,
}

impl Arrival {
    /// Takes what a predecessor has left in this process; `number` is the value of [`super::OPTION`]. Call it before
    /// anything else is opened.
    pub fn receive(number: RawFd) -> Self {
        let mut inherited = Inherited::take_all();
        Self {
            handover: inherited.read(Number(number)),
            inherited,
        }
    }

    /// What an engine that could not be replaced has left.
    pub(super) fn here(handover: Handover, inherited: Inherited) -> Self {
        Self {
            handover: Ok(handover),
            inherited,
        }
    }

    /// The API's socket that listens at `path`.
    pub fn listener(&mut self, path: &Path) -> Option<OwnedFd> {
        let number = match &self.handover {
            Ok(handover) => handover.api,
            Err(_) => kernel::listener(&self.inherited, path),
        };
        self.inherited.take(number?)
    }

    /// Connections of clients.
    pub fn connections(&mut self) -> Vec<Idle> {
        let Ok(handover) = &mut self.handover else {
            return Vec::new();
        };
        let all = std::mem::take(&mut handover.connections).into_iter();
        all.filter_map(|IdleState { socket, read }| {
            let socket = self.inherited.take(socket)?;
            Some(Idle { socket, read })
        })
        .collect()
    }

    /// What the engine begins with.
    pub(crate) fn into_former(self, options: &Options) -> Former {
        let Self {
            handover,
            mut inherited,
        } = self;
        let (handover, is_whole) = match handover {
            Ok(handover) => (handover, true),
            Err(why) => {
                tracing::error!(
                    "the predecessor's data cannot be read ({why}): going on with what disk and kernel know"
                );
                (kernel::reconstruct(options, &inherited), false)
            }
        };
        let listeners = handover
            .listeners
            .iter()
            .filter_map(|(path, number)| Some((path.clone(), inherited.take(*number)?)))
            .collect();
        Former {
            handover,
            inherited,
            listeners,
            is_whole,
        }
    }
}

/// What an engine has of its predecessor: nothing, unless it took over from one.
#[derive(Debug, Default)]
pub(crate) struct Former {
    /// The data.
    pub handover: Handover,
    /// Descriptors that are named in it.
    pub inherited: Inherited,
    /// Sockets of labels, by path.
    pub listeners: std::collections::HashMap<String, OwnedFd>,
    /// The data is the predecessor's own, not found out.
    pub is_whole: bool,
}

impl Former {
    /// The state of a container, if the predecessor had it.
    pub fn container(&self, id: &str) -> Option<&ContainerState> {
        let mut containers = self.handover.containers.iter();
        containers.find(|container| container.id == id)
    }
}

impl Engine {
    /// Begins to serve everything that a predecessor has left. Call it inside the runtime, with the containers loaded.
    pub(crate) fn take_over(self: &Arc<Self>, former: Former, expecting: &Expecting) {
        let Former {
            handover,
            mut inherited,
            is_whole,
            ..
        } = former;
        self.events.remember(handover.events);
        self.networks.take_over(handover.networks, &mut inherited);
        let mut served = 0;
        let mut waiting: BTreeMap<String, ContainerState> = BTreeMap::new();
        for state in handover.containers {
            waiting.insert(state.id.clone(), state);
        }
        for container in self.all() {
            let state = waiting.remove(container.id());
            match state {
                Some(state) if state.run.is_some() => {
                    let root_of = state.run.as_ref().map(|run| run.root_of.clone());
                    match self.adopt_run(&container, state, &mut inherited, expecting) {
                        Ok(()) => served += 1,
                        Err(error) => {
                            tracing::error!("container {}: {error}", container.name());
                            self.give_up(&container, &root_of.unwrap_or_default());
                        }
                    }
                }
                Some(state) => self.adopt_idle(&container, &state),
                None => {}
            }
        }
        for exec in handover.execs {
            self.adopt_exec(exec, &mut inherited, expecting);
        }
        // What nobody has taken: also ports that were held, which are needed now.
        drop(inherited);
        if !is_whole {
            self.connect_all_anew();
        }
        tracing::info!(
            "took over {served} running containers, generation {}",
            self.generation
        );
        let attributes = [
            ("name", self.id().to_owned()),
            ("generation", self.generation.to_string()),
            ("containers", served.to_string()),
        ];
        let attributes = attributes
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        self.events
            .publish(Kind::Daemon, "reload", self.id(), attributes);
    }

    fn adopt_run(
        self: &Arc<Self>,
        container: &Arc<Container>,
        from: ContainerState,
        inherited: &mut Inherited,
        expecting: &Expecting,
    ) -> Result<()> {
        let run: Run = from.run.unwrap_or_default();
        let (pid, pidfd) = open(run.pid, run.pid_started)?;
        let record = container.data().record.clone();
        let options = log_options::parse(
            record.host_config.log_config.as_ref(),
            self.options.log_rotation,
        )?;
        let log = open_log(
            container,
            &record,
            &options,
            true,
            &self.registries().ca_bundles,
        )?
        .map(Arc::new);
        let streams = {
            let mut data = container.data();
            data.log.clone_from(&log);
            Arc::clone(&data.streams)
        };
        let ends = take(run.streams, inherited);
        let mut pumps = ends
            .pump(
                &format!("container {}", container.id()),
                &streams,
                log.as_ref(),
            )
            .doing(|| format!("serve the streams of container {}", container.id()))?;
        // Nobody reads what nobody can write.
        if pumps.input.is_none() {
            drop(streams.take_input_end());
        }
        let child = expecting.adopt(pid);
        let now = Instant::now();
        let is_running = {
            let mut data = container.data();
            data.backoff = Backoff::after(Duration::from_millis(from.backoff));
            data.terminal_size = from.terminal_size;
            data.running = Some(Running {
                pid,
                pidfd,
                terminal: pumps.terminal.take(),
                since: now
                    .checked_sub(Duration::from_millis(run.age))
                    .unwrap_or(now),
                brake: pumps.brake.take(),
                root_of: run.root_of.clone(),
            });
            data.state.status == Status::Running
        };
        container.announce(|progress| progress.active = true);
        self.resume_oom_watch(container, run.oom_kills);
        if is_running {
            let first = run.probe_in.map(Duration::from_millis);
            self.begin_probing_in(container, first);
        }
        let launched = Launched {
            child,
            pumps,
            root_of: run.root_of,
        };
        task::spawn(
            format!("supervision of container {}", container.id()),
            Arc::clone(self).supervised(Arc::clone(container), launched, streams, log),
        );
        Ok(())
    }

    /// Gives running containers new interfaces: nobody knows what the old ones were.
    fn connect_all_anew(self: &Arc<Self>) {
        for container in self.all() {
            let (record, pid) = {
                let data = container.data();
                let pid = data.running.as_ref().map(|running| running.pid);
                (data.record.clone(), pid)
            };
            let Some(pid) = pid else { continue };
            let connected = self
                .allocate_networks(&record)
                .and_then(|()| self.attach_networks(&container, pid));
            if let Err(error) = connected {
                tracing::error!("networks of container {}: {error}", container.name());
            }
        }
    }

    /// A container whose process is not there, though it was said to be.
    fn give_up(self: &Arc<Self>, container: &Arc<Container>, root_of: &str) {
        let restarts = {
            let mut data = container.data();
            data.state.status = Status::Exited;
            data.state.exit_code = 255;
            data.state.pid = 0;
            data.state.finished_at = time::now();
            let policy = Policy::parse(data.record.host_config.restart_policy.as_ref())
                .unwrap_or(Policy::No);
            policy.wants_start_with_engine(255, data.state.stopped_by_user)
        };
        container.save_state();
        let record = container.data().record.clone();
        self.take_down(&record, root_of);
        if restarts {
            let (engine, container) = (Arc::clone(self), Arc::clone(container));
            let name = format!("restart of container {}", container.id());
            task::spawn(name, async move {
                if let Err(error) = engine.start_container(&container).await {
                    tracing::error!("start container {}: {error}", container.name());
                }
            });
        }
    }

    fn adopt_idle(self: &Arc<Self>, container: &Arc<Container>, from: &ContainerState) {
        let waits = {
            let mut data = container.data();
            data.backoff = Backoff::after(Duration::from_millis(from.backoff));
            data.terminal_size = from.terminal_size;
            from.restart_in.map(|pause| {
                let (cancel, cancelled) = oneshot::channel();
                let pause = Duration::from_millis(pause);
                data.restart_cancel = Some(cancel);
                data.restart_due = Some(Instant::now() + pause);
                (pause, cancelled)
            })
        };
        if let Some((pause, cancelled)) = waits {
            container.announce(|progress| progress.active = true);
            Arc::clone(self).spawn_restart(Arc::clone(container), pause, cancelled);
        }
    }

    fn adopt_exec(
        self: &Arc<Self>,
        from: ExecHandover,
        inherited: &mut Inherited,
        expecting: &Expecting,
    ) {
        let Ok(container) = self.find(&from.container) else {
            return;
        };
        let exec = Arc::new(Exec {
            id: from.id.clone(),
            container: Arc::clone(&container),
            request: from.request,
            streams: Arc::default(),
            remembered: true,
            state: std::sync::Mutex::new(ExecState {
                started: from.started,
                exit_code: from.exit_code,
                pid: from.pid,
                size: from.size,
                ..ExecState::default()
            }),
        });
        self.execs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(exec.id.clone(), Arc::clone(&exec));
        if !from.started {
            container.data().execs.push(from.id);
            return;
        }
        let ends = take(from.streams, inherited);
        let resumed = from
            .pid_started
            .ok_or_else(|| Error::Internal("it has ended".into()))
            .and_then(|started| open(from.pid, started))
            .and_then(|opened| {
                let pumps = ends
                    .pump(&format!("exec {}", exec.id), &exec.streams, None)
                    .doing(|| format!("serve the streams of exec {}", exec.id))?;
                Ok((opened, pumps))
            });
        match resumed {
            Ok(((pid, process), mut pumps)) => {
                if pumps.input.is_none() {
                    drop(exec.streams.take_input_end());
                }
                let child = expecting.adopt(pid);
                {
                    let mut state = exec.state();
                    state.running = true;
                    state.process = Some(process);
                    state.terminal = pumps.terminal.take();
                    state.brake = pumps.brake.take();
                }
                container.data().execs.push(from.id);
                self.spawn_exec_supervision(&exec, child, pumps);
            }
            Err(error) => {
                exec.streams.close();
                if from.exit_code.is_none() {
                    tracing::error!("exec {}: {error}", exec.id);
                    exec.state().exit_code = Some(255);
                }
                let engine = Arc::clone(self);
                let name = format!("memory of exec {}", exec.id);
                task::spawn(name, engine.forget_exec_later(exec));
            }
        }
    }
}

/// A process that is still the one which started then.
fn open(pid: i32, pid_started: u64) -> Result<(Pid, OwnedFd)> {
    let gone = || Error::Internal(format!("process {pid} is not the one that it was"));
    let pid = Pid::from_raw(pid)
        .filter(|_| kernel::is_ours(pid, pid_started))
        .ok_or_else(gone)?;
    // A child keeps its number until it is waited for.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())
        .doing(|| format!("open process {}", pid.as_raw_nonzero()))?;
    Ok((pid, pidfd))
}

fn take(from: StreamEnds, inherited: &mut Inherited) -> Ends {
    Ends {
        outputs: from
            .outputs
            .into_iter()
            .filter_map(|one| Some((one.stream, inherited.take(one.end)?, one.line)))
            .collect(),
        input: from
            .input
            .and_then(|one| Some((inherited.take(one.end)?, (one.waiting, one.closes)))),
        terminal: from.terminal.and_then(|number| inherited.take(number)),
    }
}

impl Arrival {
    /// Arguments for a successor: those of this process, but for the hand-over's own.
    pub fn without_option(
        args: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Vec<std::ffi::OsString> {
        let mut rest = Vec::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if arg == super::OPTION {
                args.next();
            } else {
                rest.push(arg);
            }
        }
        rest
    }

    /// Where the data could not be read: what the kernel knows is used.
    pub fn is_damaged(&self) -> bool {
        self.handover.is_err()
    }
}
