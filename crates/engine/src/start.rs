//! Starting containers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use coracle_runtime::Create;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::container::{Container, Running};
use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::health::HealthCheck;
use crate::log_options::{self, LogDriver, LogOptions};
use crate::logs::{Log, Syslog};
use crate::prepare::Prepared;
use crate::reaper::{Child, Expecting};
use crate::record::{Record, Status};
use crate::restart::Backoff;
use crate::stdio::{Pumps, Stdio};
use crate::streams::Streams;
use crate::{console, handover, task, time};

/// A process that was made and adopted, and the tasks that serve its streams.
pub(crate) struct Launched {
    pub child: Child,
    pub pumps: Pumps,
    /// Whose root the run uses.
    pub root_of: String,
}

impl Engine {
    /// Starts a container for a client.
    ///
    /// # Errors
    /// [`Error::NotModified`] when it runs; [`Error::Start`] when its program cannot be executed; others with Docker's
    /// texts.
    pub async fn start(self: &Arc<Self>, reference: &str) -> Result<()> {
        let container = self.find(reference)?;
        self.start_container(&container).await
    }

    pub(crate) async fn start_container(
        self: &Arc<Self>,
        container: &Arc<Container>,
    ) -> Result<()> {
        let guard = container.operation.lock().await;
        {
            let mut data = container.data();
            match data.state.status {
                _ if data.removing => {
                    return Err(Error::Conflict(
                        "container is marked for removal and cannot be started".into(),
                    ));
                }
                Status::Running | Status::Restarting => return Err(Error::NotModified),
                Status::Paused => {
                    return Err(Error::Conflict(
                        "cannot start a paused container, try unpause instead".into(),
                    ));
                }
                Status::Created | Status::Exited | Status::Dead => {}
            }
            data.state.stopped_by_user = false;
            data.state.restart_count = 0;
            data.backoff = Backoff::default();
        }
        let result = self.run(container).await;
        drop(guard);
        if result.is_err()
            && container
                .data()
                .record
                .host_config
                .auto_remove
                .unwrap_or(false)
        {
            self.remove_quietly(container).await;
        }
        result
    }

    /// Starts a container; the caller holds its operation lock.
    pub(crate) async fn run(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        let result = self.try_run(container).await;
        if let Err(error) = &result {
            let streams = {
                let mut data = container.data();
                data.state.error = error.to_string();
                data.state.exit_code = match error {
                    Error::Start { exit_code, .. } => *exit_code,
                    _ => 128,
                };
                if data.state.status != Status::Created {
                    data.state.status = Status::Exited;
                }
                Arc::clone(&data.streams)
            };
            container.save_state();
            self.finish_run(container, &streams);
        }
        result
    }

    async fn try_run(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        let (engine, target) = (Arc::clone(self), Arc::clone(container));
        let (streams, log) = blocking(move || engine.open_streams(&target)).await??;
        let (engine, target) = (Arc::clone(self), Arc::clone(container));
        let mut prepared = blocking(move || engine.prepare(&target)).await??;
        let root_of = prepared.root_of.clone();
        match self
            .launch(container, &mut prepared, &streams, log.as_ref())
            .await
        {
            Ok(launched) => {
                let engine = Arc::clone(self);
                let target = Arc::clone(container);
                let name = format!("supervision of container {}", container.id());
                task::spawn(name, engine.supervised(target, launched, streams, log));
                Ok(())
            }
            Err(error) => {
                let (engine, record) = (Arc::clone(self), container.data().record.clone());
                blocking(move || engine.take_down(&record, &root_of)).await?;
                Err(error)
            }
        }
    }

    /// The streams and the log of the next run; clients may already wait on the streams.
    fn open_streams(&self, container: &Container) -> Result<(Arc<Streams>, Option<Arc<Log>>)> {
        let record = container.data().record.clone();
        let options = log_options::parse(
            record.host_config.log_config.as_ref(),
            self.options.log_rotation,
        )?;
        let log = open_log(
            container,
            &record,
            &options,
            false,
            &self.registries().ca_bundles,
        )?
        .map(Arc::new);
        let mut data = container.data();
        data.log.clone_from(&log);
        Ok((Arc::clone(&data.streams), log))
    }

    async fn launch(
        self: &Arc<Self>,
        container: &Arc<Container>,
        prepared: &mut Prepared,
        streams: &Arc<Streams>,
        log: Option<&Arc<Log>>,
    ) -> Result<Launched> {
        let (tty, stdin, size) = {
            let data = container.data();
            let size = data.terminal_size.or_else(|| requested_size(&data.record));
            (
                data.record.tty(),
                data.record.config.open_stdin.unwrap_or(false),
                size,
            )
        };
        let id = container.id();
        let mut stdio = Stdio::new(tty, stdin, &self.options.exec_root.join("tty"))
            .doing(|| format!("make streams of container {id}"))?;
        let (pid_file, log_file) = (
            prepared.bundle.join("pid"),
            prepared.bundle.join("runtime.log"),
        );
        let console_socket = stdio.console_path();
        let command = self.runtime.create(Create {
            id,
            bundle: &prepared.bundle,
            pid_file: &pid_file,
            log: &log_file,
            console_socket: console_socket.as_deref(),
            stdio: std::mem::take(&mut stdio.child),
            listen_fds: std::mem::take(&mut prepared.listen_fds),
        });
        let expecting = self.reaper.expect();
        let pid = self
            .run_helper(command, &pid_file, &log_file)
            .await?
            .map_err(|failure| Error::Start {
                exit_code: failure.exit_code().into(),
                message: failure.create_message(),
            })?;
        // Adopted by the reaper right after; should this fail, the control group is killed.
        let (engine, target) = (Arc::clone(self), Arc::clone(container));
        blocking(move || engine.attach_networks(&target, pid)).await??;
        let root_of = prepared.root_of.clone();
        let (child, pumps) = self.begin(
            container, stdio, pid, &expecting, streams, log, size, root_of,
        )?;
        Ok(Launched {
            child,
            pumps,
            root_of: prepared.root_of.clone(),
        })
    }

    /// Lets the created process go on to its program; from here on the container runs.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `launch`, split off for its length"
    )]
    fn begin(
        self: &Arc<Self>,
        container: &Arc<Container>,
        stdio: Stdio,
        pid: Pid,
        expecting: &Expecting,
        streams: &Arc<Streams>,
        log: Option<&Arc<Log>>,
        size: Option<(u16, u16)>,
        root_of: String,
    ) -> Result<(Child, Pumps)> {
        let id = container.id();
        let child = expecting.adopt(pid);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .doing(|| format!("open process {}", pid.as_raw_nonzero()))?;
        let mut pumps = stdio
            .pump(&format!("container {id}"), streams, log)
            .doing(|| format!("open streams of container {id}"))?;
        if let (Some(terminal), Some((rows, columns))) = (&pumps.terminal, size)
            && let Err(error) = console::resize(terminal, rows, columns)
        {
            tracing::warn!("set terminal size of container {id}: {error}");
        }
        self.begin_oom_watch(container);
        self.runtime.start(id)?;
        {
            let mut data = container.data();
            let has_check = HealthCheck::of(&data.record.config).is_some();
            let state = &mut data.state;
            state.status = Status::Running;
            state.pid = pid.as_raw_nonzero().get();
            state.pid_started = handover::started(state.pid).unwrap_or_default();
            state.exit_code = 0;
            state.error = String::new();
            state.oom_killed = false;
            state.started_at = time::now();
            state.start_order = self.next_start();
            if has_check {
                state.health.get_or_insert_default().begin();
            } else {
                state.health = None;
            }
            data.running = Some(Running {
                pid,
                pidfd,
                terminal: pumps.terminal.take(),
                since: Instant::now(),
                brake: pumps.brake.take(),
                root_of,
            });
        }
        container.save_state();
        container.announce(|progress| {
            progress.active = true;
            progress.error = String::new();
        });
        self.container_event(container, "start", &[]);
        self.begin_probing(container);
        Ok((child, pumps))
    }

    /// Runs a helper to its end and reads what it achieved.
    pub(crate) async fn run_helper(
        &self,
        command: coracle_sys::spawn::Command,
        pid_file: &Path,
        log_file: &Path,
    ) -> Result<std::result::Result<Pid, coracle_runtime::Failure>> {
        let helper = self
            .reaper
            .spawn(&command)
            .doing(|| "start the runtime helper")?;
        // Our copies of the process's ends of its streams: as long as they are open there is no end of file.
        drop(command);
        let exit = helper
            .exit
            .await
            .map_err(|_| Error::Internal("the reaper has ended".into()))?;
        Ok(self
            .runtime
            .outcome(exit.status.exit_status() == Some(0), pid_file, log_file))
    }
}

/// Opens what a container's output is logged to.
/// `authorities` are files of certificates that are good for TLS. `goes_on` is that of a run that has begun: it has no use for an error.
pub(crate) fn open_log(
    container: &Container,
    record: &Record,
    options: &LogOptions,
    goes_on: bool,
    authorities: &[PathBuf],
) -> Result<Option<Log>> {
    let mut log = Log::new();
    if let LogDriver::Syslog(target) = &options.driver {
        let tag = options.selection.tag(record);
        let syslog = match goes_on {
            false => Syslog::connect(target.clone(), tag, authorities.to_vec())?,
            true => Syslog::later(target.clone(), tag, authorities.to_vec()),
        };
        log = log.with_syslog(syslog);
    } else if options.files.is_none() {
        return Ok(None);
    }
    if let Some(files) = options.files {
        let path = container.log_file(files.file);
        let attributes = match options.driver {
            LogDriver::JsonFile => options.selection.attributes(record),
            _ => Default::default(),
        };
        log = log
            .with_file(&path, files.rotation, files.compress, &attributes)
            .doing(|| format!("open log {}", path.display()))?;
    }
    Ok(Some(match options.buffer {
        Some(bytes) => log.with_buffer(bytes),
        None => log,
    }))
}

fn requested_size(record: &Record) -> Option<(u16, u16)> {
    match record.host_config.console_size.as_deref() {
        Some(&[rows, columns]) if rows > 0 && columns > 0 => {
            Some((u16::try_from(rows).ok()?, u16::try_from(columns).ok()?))
        }
        _ => None,
    }
}
