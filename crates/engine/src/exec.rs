//! Further processes in a running container (`docker exec`).

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coracle_runtime::Exec as Launch;
use rustix::process::{PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::container::Container;
use crate::disk::{self, Durability};
use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::namespaces::{Mode, Modes};
use crate::prepare;
use crate::pump::Brake;
use crate::reaper::Child;
use crate::record::Status;
use crate::spec::{self, ExecInput};
use crate::stdio::{Pumps, Stdio};
use crate::streams::Streams;
use crate::user::Account;
use crate::{console, id, security, signals, supervise, task};

/// How long an ended exec can still be inspected.
const REMEMBERED: Duration = Duration::from_secs(300);

/// What a client asks for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Further variables.
    pub env: Vec<String>,
    /// User instead of the container's.
    pub user: Option<String>,
    /// Directory instead of the container's.
    pub working_dir: Option<String>,
    /// With a terminal.
    pub tty: bool,
    /// With every capability.
    pub privileged: bool,
    /// Which streams a client is attached to.
    pub stdin: bool,
    /// See `stdin`.
    pub stdout: bool,
    /// See `stdin`.
    pub stderr: bool,
    /// Keys that detach.
    pub detach_keys: String,
}

/// One exec instance.
#[derive(Debug)]
pub struct Exec {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Where it runs.
    pub container: Arc<Container>,
    /// What was asked for.
    pub request: ExecRequest,
    /// Its streams.
    pub streams: Arc<Streams>,
    /// It can be inspected for a while after its end.
    pub(crate) remembered: bool,
    pub(crate) state: Mutex<ExecState>,
}

/// What changes about an exec.
#[derive(Debug, Default)]
pub struct ExecState {
    /// A client has started it.
    pub started: bool,
    /// Its process runs.
    pub running: bool,
    /// How it ended.
    pub exit_code: Option<i64>,
    /// Its process's id.
    pub pid: i32,
    pub(crate) process: Option<OwnedFd>,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) size: Option<(u16, u16)>,
    /// Takes its streams back from those who serve them.
    pub(crate) brake: Option<Brake>,
}

impl Exec {
    /// What changes about it; hold the result for moments.
    pub fn state(&self) -> MutexGuard<'_, ExecState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal to its process, if it runs.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub(crate) fn signal(&self, number: i32) -> Result<()> {
        match &self.state().process {
            Some(process) => signals::send(process, number),
            None => Ok(()),
        }
    }
}

impl Engine {
    /// Registers an exec; it is started by [`Engine::exec_start`].
    ///
    /// # Errors
    /// Docker's texts when the container does not run or there is no command.
    pub fn exec_create(&self, reference: &str, request: ExecRequest) -> Result<String> {
        let container = self.find(reference)?;
        self.register_exec(&container, request, true)
    }

    /// [`Engine::exec_create`] for a container at hand; one that is not `remembered` is gone with its end.
    pub(crate) fn register_exec(
        &self,
        container: &Arc<Container>,
        request: ExecRequest,
        remembered: bool,
    ) -> Result<String> {
        if request.command.first().is_none_or(String::is_empty) {
            return Err(Error::Invalid("No exec command specified".into()));
        }
        self.check_exec(container, &container.name())?;
        // Only for the error: a user that does not exist is the client's mistake, not the process's.
        self.exec_account(container, request.user.as_deref())?;
        let id = id::generate();
        let line = request.command.join(" ");
        let exec = Exec {
            id: id.clone(),
            container: Arc::clone(container),
            request,
            streams: Arc::default(),
            remembered,
            state: Mutex::default(),
        };
        self.execs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), Arc::new(exec));
        container.data().execs.push(id.clone());
        self.container_event(
            container,
            &format!("exec_create: {line}"),
            &[("execID", id.clone())],
        );
        Ok(id)
    }

    /// Who a process in a container runs as: `user`, or the container's user.
    fn exec_account(&self, container: &Arc<Container>, user: Option<&str>) -> Result<Account> {
        let record = container.data().record.clone();
        let user = user.filter(|user| !user.is_empty());
        let user = user.unwrap_or(record.config.user.as_deref().unwrap_or_default());
        let root = self.roots.path(self.root_owner(container)?.id());
        prepare::account(&root, &record, user)
    }

    fn check_exec(&self, container: &Container, reference: &str) -> Result<()> {
        match container.data().state.status {
            Status::Running => Ok(()),
            Status::Paused => Err(Error::Conflict(format!(
                "Container {reference} is paused, unpause the container before exec"
            ))),
            Status::Restarting => Err(Error::Conflict(format!(
                "Container {reference} is restarting, wait until the container is running"
            ))),
            _ => Err(Error::not_running(container.id())),
        }
    }

    /// The exec with this id.
    ///
    /// # Errors
    /// [`Error::NoSuchExec`].
    pub fn find_exec(&self, id: &str) -> Result<Arc<Exec>> {
        let execs = self.execs.lock().unwrap_or_else(PoisonError::into_inner);
        execs
            .get(id)
            .cloned()
            .ok_or_else(|| Error::NoSuchExec(id.to_owned()))
    }

    pub(crate) fn forget_execs(&self, container: &str) {
        let mut execs = self.execs.lock().unwrap_or_else(PoisonError::into_inner);
        execs.retain(|_, exec| exec.container.id() != container);
    }

    /// Marks an exec as started by this client, before its connection is taken over.
    ///
    /// # Errors
    /// When it was started before, or its container does not run any more.
    pub fn exec_claim(&self, exec: &Exec) -> Result<()> {
        let mut state = exec.state();
        if state.started {
            return Err(Error::Conflict(format!(
                "Error: Exec command {} has already run",
                exec.id
            )));
        }
        self.check_exec(&exec.container, &exec.container.name())?;
        state.started = true;
        Ok(())
    }

    /// Runs a claimed exec. Attach to its streams before: early output is not kept.
    ///
    /// # Errors
    /// [`Error::Start`] when its program cannot be executed; the streams are closed then.
    pub async fn exec_start(self: &Arc<Self>, exec: &Arc<Exec>) -> Result<()> {
        let what = format!("start of an exec in container {}", exec.container.name());
        let _task = self.work().begin(what).await;
        match self.launch_exec(exec).await {
            Ok((child, pumps)) => {
                self.spawn_exec_supervision(exec, child, pumps);
                Ok(())
            }
            Err(error) => {
                let code = match &error {
                    Error::Start { exit_code, .. } => *exit_code,
                    _ => 128,
                };
                exec.state().exit_code = Some(code);
                exec.container.data().execs.retain(|id| *id != exec.id);
                exec.streams.close();
                Err(error)
            }
        }
    }

    pub(crate) fn spawn_exec_supervision(
        self: &Arc<Self>,
        exec: &Arc<Exec>,
        child: Child,
        pumps: Pumps,
    ) {
        let (engine, target) = (Arc::clone(self), Arc::clone(exec));
        let name = format!("supervision of exec {}", exec.id);
        task::spawn(name, async move {
            engine.supervise_exec(target, child, pumps).await
        });
    }

    async fn launch_exec(self: &Arc<Self>, exec: &Arc<Exec>) -> Result<(Child, Pumps)> {
        let container = &exec.container;
        let bundle = self.bundle(container.id());
        let file = |suffix: &str| bundle.join(format!("exec-{}{suffix}", id::short(&exec.id)));
        let (process_file, pid_file, log_file) = (file(".json"), file(".pid"), file(".log"));
        let (engine, target, path) = (Arc::clone(self), Arc::clone(exec), process_file.clone());
        blocking(move || engine.write_exec_process(&target, &path)).await??;
        let request = &exec.request;
        let mut stdio = Stdio::new(
            request.tty,
            request.stdin,
            &self.options.exec_root.join("tty"),
        )
        .doing(|| format!("make streams of exec {}", exec.id))?;
        let console_socket = stdio.console_path();
        let command = self.runtime.exec(Launch {
            id: container.id(),
            process: &process_file,
            pid_file: &pid_file,
            log: &log_file,
            console_socket: console_socket.as_deref(),
            cgroup: None,
            stdio: std::mem::take(&mut stdio.child),
        });
        let expecting = self.reaper.expect();
        let outcome = self.run_helper(command, &pid_file, &log_file).await;
        let remove = [process_file, pid_file, log_file];
        // In a tmpfs, and removed with the bundle in any case.
        blocking(move || {
            remove
                .iter()
                .for_each(|path| drop(std::fs::remove_file(path)))
        })
        .await?;
        let pid = outcome?.map_err(|failure| Error::Start {
            exit_code: failure.exit_code().into(),
            message: failure.exec_message(),
        })?;
        let child = expecting.adopt(pid);
        // One that has ended already may not be there; or its number has gone to another process.
        let process = pidfd_open(pid, PidfdFlags::empty())
            .ok()
            .filter(|_| child.exit.is_empty());
        let mut pumps = stdio
            .pump(&format!("exec {}", exec.id), &exec.streams, None)
            .doing(|| format!("open streams of exec {}", exec.id))?;
        let mut state = exec.state();
        state.running = true;
        state.pid = pid.as_raw_nonzero().get();
        state.process = process;
        state.terminal = pumps.terminal.take();
        state.brake = pumps.brake.take();
        if let (Some(terminal), Some((rows, columns))) = (&state.terminal, state.size)
            && let Err(error) = console::resize(terminal, rows, columns)
        {
            tracing::warn!("set terminal size of exec {}: {error}", exec.id);
        }
        drop(state);
        let line = exec.request.command.join(" ");
        self.container_event(
            container,
            &format!("exec_start: {line}"),
            &[("execID", exec.id.clone())],
        );
        Ok((child, pumps))
    }

    fn write_exec_process(&self, exec: &Exec, path: &std::path::Path) -> Result<()> {
        let record = exec.container.data().record.clone();
        let request = &exec.request;
        let account = self.exec_account(&exec.container, request.user.as_deref())?;
        let capabilities = if request.privileged {
            self.capabilities.clone()
        } else {
            self.capabilities_of(&record)?
        };
        let options =
            security::parse(&record.host_config.security_opt.clone().unwrap_or_default())?;
        let uts_is_own = Modes::parse(&record.host_config)?.uts != Mode::Host;
        let process = spec::exec_process(&ExecInput {
            record: &record,
            account: &account,
            capabilities: &capabilities,
            ulimits: &self.options.settings.all_ulimits(&record.host_config),
            hostname: record.config.hostname.as_deref().filter(|_| uts_is_own),
            command: &request.command,
            env: &request.env,
            working_dir: request.working_dir.as_deref(),
            tty: request.tty,
            size: exec.state().size,
            no_new_privileges: options
                .no_new_privileges
                .unwrap_or(self.options.settings.no_new_privileges),
        });
        disk::write_json(path, &process, Durability::Ordered)
    }

    pub(crate) async fn supervise_exec(
        self: Arc<Self>,
        exec: Arc<Exec>,
        child: Child,
        mut pumps: Pumps,
    ) {
        let Ok(exit) = child.exit.await else {
            tracing::error!("lost track of exec {}: the reaper has ended", exec.id);
            return;
        };
        if let Some(input) = pumps.input.take() {
            input.abort();
        }
        supervise::drain(pumps.outputs).await;
        {
            let mut state = exec.state();
            state.running = false;
            state.exit_code = Some(exit.code());
            state.terminal = None;
            state.process = None;
            state.brake = None;
        }
        exec.container.data().execs.retain(|id| *id != exec.id);
        let attributes = [
            ("execID", exec.id.clone()),
            ("exitCode", exit.code().to_string()),
        ];
        self.container_event(&exec.container, "exec_die", &attributes);
        exec.streams.close();
        drop(exit);
        if exec.remembered {
            self.forget_exec_later(exec).await;
        }
    }

    /// Forgets an exec that has ended, after a while.
    pub(crate) async fn forget_exec_later(self: Arc<Self>, exec: Arc<Exec>) {
        tokio::time::sleep(REMEMBERED).await;
        self.execs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&exec.id);
    }

    /// Sets the size of an exec's terminal; before its start the size is remembered.
    ///
    /// # Errors
    /// When there is no such exec, or it has no terminal.
    pub fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let exec = self.find_exec(id)?;
        let mut state = exec.state();
        match &state.terminal {
            Some(terminal) => console::resize(terminal, rows, columns)
                .doing(|| format!("resize terminal of exec {id}")),
            None if !state.running && exec.request.tty => {
                state.size = Some((rows, columns));
                Ok(())
            }
            None => Err(Error::Invalid(format!("exec {id} has no terminal"))),
        }
    }
}
