//! `ros user-docker`: the main process of the `docker` container.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use coracle_config::Config;
use coracle_console::account;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::Instant;

use crate::api::Api;
use crate::cgroup;
use crate::daemon_config::DaemonConfig;
use crate::error::Error;
use crate::launch::{self, Launch};
use crate::paths::{CONTAINERD_TOML, DAEMON_JSON, DOCKER_DONE, DOCKER_SOCKET, LOG, SHUTDOWN};
use crate::prepare;
use crate::propagation;
use crate::refusal;
use crate::reserve;
use crate::turn;
use crate::weight::{self, Raised};

/// How long dockerd may take to notice that live-restore is off before it is stopped anyway.
const RELOAD_LIMIT: Duration = Duration::from_secs(5);
/// How long a daemon may take to end on which nothing depends: containerd, whose shims go on without it, and a dockerd that has never
/// answered, which would wait a minute for containerd before it notices that it shall end.
const END_LIMIT: Duration = Duration::from_secs(3);
/// containerd is started again after it died, but not more often than this within a minute.
const MOST_CONTAINERD_STARTS: usize = 5;
/// How long clients hear why Docker has not started before it is tried again. System Docker waits longer and longer before it
/// restarts what has not run for 10 s, and nobody would answer meanwhile.
const REFUSAL: Duration = Duration::from_secs(10);

/// Runs the engine until SIGTERM, or until dockerd ends by itself. `load` gives the configuration, at start and at SIGHUP.
///
/// # Errors
/// The container is not privileged, a program is missing, or dockerd ended by itself.
pub fn run(load: impl Fn() -> Config) -> Result<(), Error> {
    let socket = listening_socket()?;
    let config = load();
    turn::wait(&config, &socket)?;
    let groups = cgroup::open_tree()?;
    let weight = Raised::of(&groups.own);
    warn_about_private_mounts();
    propagation::share_all()?;
    let daemon = prepare::read(&config);
    prepare::write(&daemon)?;
    reserve::settle(Path::new(daemon.data_root()));
    let engine = Engine {
        environment: prepare::environment(&config),
        log: prepare::open_log(),
        socket,
        cgroup: groups.containerd,
        daemon,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("start"))?
        .block_on(engine.serve(load, weight))
}

/// The socket that PID 1 has listened on since boot (`LISTEN_FDS`), or one of our own where nobody has.
fn listening_socket() -> Result<OwnedFd, Error> {
    let inherited = std::env::var("LISTEN_FDS").is_ok_and(|count| count != "0");
    if inherited {
        return coracle_sys::fd::take_inherited(3).map_err(Error::system(
            "take over the socket that LISTEN_FDS promises",
        ));
    }
    tracing::info!("no socket was handed over; listening on {DOCKER_SOCKET}");
    let _ = std::fs::remove_file(DOCKER_SOCKET);
    let listener =
        UnixListener::bind(DOCKER_SOCKET).map_err(Error::file("listen on", DOCKER_SOCKET))?;
    let mode = std::fs::Permissions::from_mode(0o660);
    std::fs::set_permissions(DOCKER_SOCKET, mode)
        .map_err(Error::file("set the mode of", DOCKER_SOCKET))?;
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let group = account::find_group(&groups, "docker");
    chown(DOCKER_SOCKET, Some(0), group).map_err(Error::file("set the group of", DOCKER_SOCKET))?;
    Ok(listener.into())
}

fn warn_about_private_mounts() {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for path in ["/run", "/var/lib/docker"] {
        if !propagation::is_shared(&mountinfo, path) {
            tracing::warn!(
                "{path} is not a shared mount: running containers will lose their mounts when this service restarts"
            );
        }
    }
}

struct Engine {
    environment: Vec<(String, String)>,
    log: Option<File>,
    socket: OwnedFd,
    /// Of containerd.
    cgroup: PathBuf,
    daemon: DaemonConfig,
}

/// Why the loop ended.
enum End {
    /// SIGTERM.
    Asked,
    /// One of the daemons did, and is not started again here.
    Daemon(&'static str, ExitStatus),
}

impl Engine {
    /// Until the engine answers, it has the `weight`.
    async fn serve(
        mut self,
        load: impl Fn() -> Config,
        mut weight: Option<Raised>,
    ) -> Result<(), Error> {
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let begin = Instant::now();
        let log_before = self.log_length();
        let mut starts = vec![begin];
        // Both at once: dockerd reaches for containerd only after it has prepared itself.
        let mut containerd = self.start_containerd()?;
        let mut dockerd = self.start_dockerd()?;
        let api = Api::new(DOCKER_SOCKET);
        let mut ready = Box::pin(ready(api.clone()));
        let mut answered = false;
        let end = loop {
            tokio::select! {
                status = dockerd.wait() => break End::Daemon("dockerd", status.map_err(Error::system("wait for dockerd"))?),
                status = containerd.wait() => {
                    let status = status.map_err(Error::system("wait for containerd"))?;
                    let now = Instant::now();
                    starts.retain(|start| now.duration_since(*start) < Duration::from_secs(60));
                    if starts.len() >= MOST_CONTAINERD_STARTS {
                        break End::Daemon("containerd", status);
                    }
                    tracing::error!("{}; starting it again", Error::Ended { program: "containerd", status });
                    starts.push(now);
                    containerd = self.start_containerd()?;
                }
                () = &mut ready, if !answered => {
                    answered = true;
                    weight = None;
                    tracing::info!("Docker answers after {} ms", begin.elapsed().as_millis());
                }
                () = tokio::time::sleep_until(begin + weight::LIMIT), if weight.is_some() => weight = None,
                _ = hangup.recv() => self.reload(&load(), &dockerd),
                _ = terminate.recv() => break End::Asked,
                _ = interrupt.recv() => break End::Asked,
            }
        };
        drop(weight);
        let _ = std::fs::remove_file(DOCKER_DONE);
        if matches!(end, End::Asked) && Path::new(SHUTDOWN).exists() {
            self.let_containers_stop(&api, &dockerd).await;
        }
        let failed = matches!(end, End::Daemon(..)) && !answered;
        stop(&mut dockerd, failed.then_some(END_LIMIT)).await?;
        stop(&mut containerd, Some(END_LIMIT)).await?;
        let End::Daemon(program, status) = end else {
            return Ok(());
        };
        if failed {
            let reason = self.why_not_started(status, log_before);
            tracing::error!("{reason}");
            tokio::select! {
                result = refusal::answer_all(&self.socket, &reason) => result.map_err(Error::system("answer clients"))?,
                () = tokio::time::sleep(REFUSAL) => {}
                // Another configuration may do.
                _ = hangup.recv() => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        Err(Error::Ended { program, status })
    }

    fn log_length(&self) -> u64 {
        let metadata = self.log.as_ref().and_then(|log| log.metadata().ok());
        metadata.map_or(0, |metadata| metadata.len())
    }

    /// With what the daemons have written since the log was so long.
    fn why_not_started(&self, status: ExitStatus, log_before: u64) -> String {
        let log = self
            .log
            .as_ref()
            .and_then(|log| refusal::end_of(log, log_before).ok())
            .unwrap_or_default();
        let reason = refusal::last_words(&log).map_or_else(|| status.to_string(), str::to_owned);
        format!("Docker does not start: {reason} ({LOG} has more)")
    }

    fn start_containerd(&self) -> Result<Child, Error> {
        self.start(
            Launch {
                cgroup: Some(self.cgroup.clone()),
                words: ["containerd", "--config", CONTAINERD_TOML]
                    .map(Into::into)
                    .into(),
                ..Launch::default()
            },
            Stdio::null(),
        )
    }

    fn start_dockerd(&self) -> Result<Child, Error> {
        let mut words: Vec<_> = ["dockerd", "--config-file", DAEMON_JSON]
            .map(Into::into)
            .into();
        words.extend(self.daemon.arguments.iter().map(Into::into));
        let socket = self
            .socket
            .try_clone()
            .map_err(Error::system("pass the listening socket on"))?;
        self.start(
            Launch {
                listen: true,
                words,
                ..Launch::default()
            },
            socket.into(),
        )
    }

    fn start(&self, launch: Launch, stdin: Stdio) -> Result<Child, Error> {
        let launch = Launch {
            parent: std::process::id(),
            ..launch
        };
        let output = || match self.log.as_ref().map(File::try_clone) {
            Some(Ok(log)) => log.into(),
            _ => Stdio::inherit(),
        };
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("coracle")
            .arg(launch::ROLE)
            .args(launch.to_arguments())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(output())
            .stderr(output());
        command.spawn().map_err(|cause| Error::Start {
            program: launch.words[0].to_string_lossy().into_owned(),
            cause,
        })
    }

    /// SIGHUP: dockerd reloads what it can without a restart.
    fn reload(&mut self, config: &Config, dockerd: &Child) {
        self.daemon = prepare::read(config);
        match prepare::write_daemon_json(&self.daemon, false) {
            Ok(()) => send(dockerd, Signal::HUP),
            Err(error) => tracing::error!("{error}"),
        }
    }

    /// Turns live-restore off, so that dockerd stops the containers when it ends, and starts those with a restart policy at
    /// the next boot. Stopping them through the API would keep `unless-stopped` ones stopped.
    async fn let_containers_stop(&self, api: &Api, dockerd: &Child) {
        let reloaded = async {
            let mut reloads = api.reload_events().await?;
            prepare::write_daemon_json(&self.daemon, true)?;
            send(dockerd, Signal::HUP);
            reloads.next().await;
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(RELOAD_LIMIT, reloaded).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!("containers may be killed instead of stopped: {error}")
            }
            Err(_) => tracing::error!(
                "containers may be killed instead of stopped: dockerd does not react"
            ),
        }
    }
}

/// Marks the moment at which the API has answered for the first time.
async fn ready(api: Api) {
    match api.ping().await {
        Ok(()) => {
            if let Err(error) = std::fs::write(DOCKER_DONE, "") {
                tracing::error!("cannot write {DOCKER_DONE}: {error}");
            }
        }
        Err(error) => {
            tracing::error!("{error}");
            // dockerd's end, which is about to be seen, says more.
            std::future::pending().await
        }
    }
}

/// Ends a daemon with SIGTERM, after `limit` with SIGKILL.
async fn stop(daemon: &mut Child, limit: Option<Duration>) -> Result<(), Error> {
    send(daemon, Signal::TERM);
    let ended = match limit {
        Some(limit) => tokio::time::timeout(limit, daemon.wait()).await.ok(),
        None => Some(daemon.wait().await),
    };
    let ended = match ended {
        Some(ended) => ended.map(drop),
        None => daemon.kill().await,
    };
    ended.map_err(Error::system("end a daemon"))
}

fn send(daemon: &Child, signal: Signal) {
    let pid = daemon.id().and_then(|id| Pid::from_raw(id as i32));
    if let Some(pid) = pid {
        // It may have ended this moment, which its wait tells.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn listen(kind: SignalKind) -> Result<SignalStream, Error> {
    signal(kind).map_err(Error::system("listen for signals"))
}
