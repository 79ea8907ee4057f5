//! System Docker in PID 1: the engine, its API, the services, and the signals that end it all.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coracle_config::{Config, DockerConfig};
use coracle_engine::handover::{Arrival, Departure, Idle};
use coracle_engine::networks::DefaultBridge;
use coracle_engine::{Engine, Options, Reaper, Settings};
use coracle_services::{Engines, Places};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Error;
use crate::consoles::Consoles;
use crate::power::PowerAction;
use crate::registries;

const ROOT: &str = "/var/lib/system-docker";
const EXEC_ROOT: &str = "/run/system-docker";
const BUNDLED: &str = "/usr/lib/coracle";
const SOCKET: &str = "/var/run/system-docker.sock";
/// PID 1 mostly waits; its work is in helpers.
const THREADS: usize = 2;
/// How long threads may take to come to rest before a new version takes over.
const REST: Duration = Duration::from_secs(2);
/// Signals within this time are one wish: acpid hears of one press of the power button twice, from the kernel's input layer and by netlink.
const ONE_WISH: Duration = Duration::from_secs(2);
/// How long containers that are no services and survived the others may take to stop.
const LEFTOVERS: Duration = Duration::from_secs(2);

/// The engine and what it runs on.
#[derive(Debug)]
pub(crate) struct SystemDocker {
    runtime: Runtime,
    engine: Arc<Engine>,
    engines: Engines,
    signals: mpsc::Receiver<PowerAction>,
    server: JoinHandle<Vec<Idle>>,
    /// The API's socket once more, for a successor.
    socket: OwnedFd,
}

/// What PID 1 has to do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// End the machine.
    Power(PowerAction),
    /// Execute this program in its own place.
    HandOver(PathBuf),
}

impl SystemDocker {
    /// Starts the engine and its API, or goes on with what a predecessor in this process has left. When this returns, the
    /// socket accepts connections.
    ///
    /// # Errors
    /// When the engine cannot use its directories, or the socket cannot be opened.
    pub(crate) fn start(
        config: &DockerConfig,
        consoles: &Consoles,
        arrival: Option<Arrival>,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("system-docker")
            .enable_all()
            .build()
            .map_err(|source| Error::Thread {
                name: "system-docker",
                source,
            })?;
        let inside = runtime.enter();
        let signals = watch_signals()?;
        let mut options = Options {
            bundled: Some(BUNDLED.into()),
            settings: settings(config),
            ..Options::new(ROOT, EXEC_ROOT)
        };
        match DefaultBridge::configured(config.bridge.as_deref(), config.bip.as_deref()) {
            Ok(bridge) => options.bridge = bridge,
            // Services do not need it: with the default the machine starts.
            Err(error) => consoles.say(&format!("rancher.system_docker: {error}")),
        }
        let failed = |error: coracle_engine::Error| Error::Engine {
            text: error.to_string(),
        };
        let socket = Path::new(SOCKET);
        let mut idle = Vec::new();
        let (engine, listener) = match arrival {
            None => {
                let reaper = Reaper::start().map_err(|source| Error::Signals { source })?;
                (
                    Engine::new(options, reaper).map_err(failed)?,
                    listen(socket)?,
                )
            }
            Some(mut arrival) => {
                // The link /var/run leads there.
                let inherited = arrival.listener(socket);
                idle = arrival.connections();
                let inherited = inherited.and_then(|fd| UnixListener::from_std(fd.into()).ok());
                let engine = Engine::resume(options, arrival).map_err(failed)?;
                match inherited {
                    Some(listener) => (engine, listener),
                    None => (engine, listen(socket)?),
                }
            }
        };
        let copy = listener.as_fd().try_clone_to_owned();
        let copy = copy.map_err(Error::io("keep", socket))?;
        let server = runtime.spawn(coracle_api::serve(
            listener,
            Arc::clone(&engine),
            idle,
            std::future::pending(),
        ));
        drop(inside);
        let engines = Engines::of_this_machine().with_preload(Places::default());
        Ok(Self {
            runtime,
            engine,
            engines,
            signals,
            server,
            socket: copy,
        })
    }

    /// Takes over what the configuration says of registries.
    pub(crate) fn set_registries(&self, config: &Config) -> Vec<String> {
        let (settings, problems) = registries::settings(config, Path::new(BUNDLED));
        self.engine.set_registries(settings);
        problems
    }

    /// Starts the services in the background.
    pub(crate) fn start_services(&self) {
        let (engines, engine) = (self.engines.clone(), Arc::clone(&self.engine));
        self.runtime.spawn(async move {
            // A new version takes over when they have had their turn.
            let _task = engine.work().begin("start of the services").await;
            let log = Path::new(coracle_boot_log::DEFAULT_PATH);
            coracle_services::boot(Path::new("/"), &engines, log).await;
            // What is no service but ran before; services have had their order by now.
            engine.start_by_policy().await;
        });
    }

    /// Waits for a signal that ends the machine, or for a new version.
    pub(crate) fn wait(&mut self) -> Next {
        let (signals, engine) = (&mut self.signals, &self.engine);
        self.runtime.block_on(async {
            let action = tokio::select! {
                biased;
                program = engine.reload_wanted() => return Next::HandOver(program),
                // The senders live as long as the runtime; should they end, something is badly wrong.
                action = signals.recv() => action.unwrap_or(PowerAction::Reboot),
            };
            if engine.work().stay() {
                return Next::Power(action);
            }
            // Too late: the successor ends the machine.
            let program = engine.reload_wanted().await;
            if let Some(number) = action.signal(crate::REALTIME_MINIMUM) {
                let _ = coracle_sys::signal::send_to_init(number);
            }
            Next::HandOver(program)
        })
    }

    /// Stops everything here, and no container. With what a successor needs comes a signal that nobody has dealt with.
    pub(crate) fn hand_over(self) -> (Departure, Option<PowerAction>) {
        let Self {
            runtime,
            engine,
            mut signals,
            server,
            socket,
            ..
        } = self;
        let departure = runtime.block_on(async {
            let mut departure = engine.hand_over(socket).await;
            departure.keep(server.await.unwrap_or_default());
            departure
        });
        drop(engine);
        runtime.shutdown_timeout(REST);
        (departure, signals.try_recv().ok())
    }

    /// Lets signals through that came when nobody could deal with them.
    ///
    /// # Errors
    /// Never, unless the kernel has failed.
    pub(crate) fn let_signals_through() -> Result<(), Error> {
        coracle_sys::signal::unblock_all().map_err(|source| Error::Signals { source })
    }

    /// Stops all containers within `limit`, or until another signal comes.
    ///
    /// # Errors
    /// What could not be stopped, for the consoles.
    pub(crate) fn stop_services(&mut self, limit: Duration) -> Result<(), String> {
        let (engines, engine) = (self.engines.clone(), Arc::clone(&self.engine));
        let (signals, begin) = (&mut self.signals, Instant::now());
        let stop = async {
            let project = coracle_services::load(Path::new("/"));
            let result = coracle_services::shut_down(&engines, &project, limit, &()).await;
            // Whatever still runs, and nothing comes back.
            engine.shutdown(Some(LEFTOVERS)).await;
            result.map_err(|error| error.to_string())
        };
        // Should the senders end, nobody can ask again: not a wish.
        let asked_again = async {
            while signals.recv().await.is_some() {
                if begin.elapsed() > ONE_WISH {
                    return;
                }
            }
            std::future::pending().await
        };
        self.runtime.block_on(async {
            tokio::select! {
                result = stop => result,
                () = asked_again => Err("a second signal: not waiting for services".to_owned()),
            }
        })
    }
}

/// `rancher.system_docker`. What is wrong or means nothing here is reported, and the rest holds: the machine must start.
fn settings(config: &DockerConfig) -> Settings {
    let mut settings = Settings {
        log_driver: config.log_driver.clone().unwrap_or_default(),
        log_opts: config.log_opts.clone(),
        ..Settings::default()
    };
    for argument in settings.apply_arguments(&config.extra_args) {
        tracing::warn!(
            "rancher.system_docker.extra_args: {argument} means nothing to System Docker"
        );
    }
    match settings.check() {
        Ok(()) => settings,
        Err(error) => {
            tracing::error!("rancher.system_docker is ignored: {error}");
            Settings::default()
        }
    }
}

/// The socket of root's API (ARCHITECTURE.md). An old one is replaced.
fn listen(path: &Path) -> Result<UnixListener, Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("replace", path)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(Error::io("listen on", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(Error::io("protect", path))?;
    Ok(listener)
}

/// Catches every signal that means something to PID 1. Call it inside the runtime.
fn watch_signals() -> Result<mpsc::Receiver<PowerAction>, Error> {
    let (sender, receiver) = mpsc::channel(4);
    for (number, action) in PowerAction::signals(crate::REALTIME_MINIMUM) {
        let mut stream =
            signal(SignalKind::from_raw(number)).map_err(|source| Error::Signals { source })?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                // Full: enough have been seen.
                let _ = sender.try_send(action);
            }
        });
    }
    Ok(receiver)
}
