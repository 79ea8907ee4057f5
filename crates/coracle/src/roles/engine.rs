//! `coracle engine`: System Docker as a plain process, for tests and for other hosts with cgroup v2.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use coracle_distribution::Proxies;
use coracle_engine::handover::{Arrival, Departure, OPTION, capabilities};
use coracle_engine::networks::DefaultBridge;
use coracle_engine::{Engine, Options, Reaper, Settings};
use coracle_sys::signal as signals;
use futures_util::FutureExt;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use super::log;

mod check;

const USAGE: &str = "usage: coracle engine check [OPTIONS]\n       coracle engine --root DIR --exec-root DIR --socket PATH [--images DIR] [--cgroup-parent PATH] [--config FILE] [--bridge NAME|none] [--bip ADDRESS/PREFIX] [--insecure-registry HOST]... [--registry-mirror URL]...";

/// As in PID 1: the engine mostly waits, its work is in helpers.
const WORKERS: usize = 2;

/// How long threads may take to come to rest before a hand-over.
const REST: Duration = Duration::from_secs(2);

const TERM: i32 = 15;

#[derive(Clone, Debug, Default)]
struct Arguments {
    root: PathBuf,
    exec_root: PathBuf,
    socket: PathBuf,
    images: Option<PathBuf>,
    cgroup_parent: Option<String>,
    insecure_registries: Vec<String>,
    registry_mirrors: Vec<String>,
    config: Option<PathBuf>,
    /// Name of the default network's bridge; `none` for no such network.
    bridge: Option<String>,
    /// Its address.
    bip: Option<String>,
    /// Where a predecessor in this process has left its data.
    handover: Option<i32>,
}

/// How the engine ended.
enum End {
    /// With its containers.
    Stopped,
    /// It is to be replaced by this program; a signal may have come too late to be dealt with here.
    HandOver(Box<Departure>, PathBuf, Option<i32>),
}

/// `handover`: says which data of a predecessor this binary understands.
pub fn handover(_: Vec<OsString>) -> anyhow::Result<ExitCode> {
    print!("{}", capabilities());
    Ok(ExitCode::SUCCESS)
}

/// Runs until SIGTERM or SIGINT, then stops every container. SIGUSR2 replaces the engine by the installed one. `check` looks
/// at what an engine keeps instead.
pub fn run(mut args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    if args.first().is_some_and(|arg| arg == "check") {
        return check::run(args.split_off(1));
    }
    let arguments = parse(args)?;
    // Before anything else is opened.
    let mut arrival = arguments.handover.map(Arrival::receive);
    log::to_stderr();
    loop {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()
            .context("start the runtime")?;
        let end = runtime.block_on(serve(arguments.clone(), arrival.take()))?;
        let End::HandOver(departure, program, signal) = end else {
            return Ok(ExitCode::SUCCESS);
        };
        runtime.shutdown_timeout(REST);
        signals::block_all().context("hold signals back")?;
        if let Some(signal) = signal {
            signals::send_to(rustix::process::getpid(), signal).context("keep a signal")?;
        }
        let args = Arrival::without_option(std::env::args_os());
        arrival = Some(departure.execute(&program, &args));
    }
}

fn parse(args: Vec<OsString>) -> anyhow::Result<Arguments> {
    let mut arguments = Arguments::default();
    let mut args = args.into_iter();
    while let Some(name) = args.next() {
        let Some(value) = args.next() else {
            bail!("{} needs a value\n{USAGE}", name.display());
        };
        match name.to_str() {
            Some("--root") => arguments.root = value.into(),
            Some("--exec-root") => arguments.exec_root = value.into(),
            Some("--socket") => arguments.socket = value.into(),
            Some("--images") => arguments.images = Some(value.into()),
            Some("--cgroup-parent") => {
                arguments.cgroup_parent = Some(value.to_string_lossy().into_owned());
            }
            Some("--insecure-registry") => {
                arguments
                    .insecure_registries
                    .push(value.to_string_lossy().into_owned());
            }
            Some("--registry-mirror") => {
                arguments
                    .registry_mirrors
                    .push(value.to_string_lossy().into_owned());
            }
            Some("--config") => arguments.config = Some(value.into()),
            Some("--bridge") => arguments.bridge = Some(value.to_string_lossy().into_owned()),
            Some(OPTION) => {
                let number = value.to_str().and_then(|text| text.parse().ok());
                arguments.handover = Some(number.context("--handover needs a number")?);
            }
            Some("--bip") => arguments.bip = Some(value.to_string_lossy().into_owned()),
            _ => bail!("unknown option {}\n{USAGE}", name.display()),
        }
    }
    for (path, name) in [
        (&arguments.root, "--root"),
        (&arguments.exec_root, "--exec-root"),
        (&arguments.socket, "--socket"),
    ] {
        if !path.is_absolute() {
            bail!("{name} must be given as an absolute path\n{USAGE}");
        }
    }
    Ok(arguments)
}

async fn serve(arguments: Arguments, arrival: Option<Arrival>) -> anyhow::Result<End> {
    let mut terminate = signal(SignalKind::terminate()).context("catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("catch SIGINT")?;
    let mut reload = signal(SignalKind::user_defined2()).context("catch SIGUSR2")?;
    let mut options = Options::new(arguments.root, arguments.exec_root);
    options.bundled = arguments.images;
    if let Some(parent) = arguments.cgroup_parent {
        options.cgroup_parent = parent;
    }
    options.registries.insecure_registries = arguments.insecure_registries;
    options.registries.registry_mirrors = arguments.registry_mirrors;
    options.registries.proxies = Proxies {
        http: variable("http_proxy"),
        https: variable("https_proxy"),
        none: variable("no_proxy"),
    };
    if let Some(path) = arguments.config {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        options.settings = Settings::parse(&text)?;
    }
    options.bridge =
        DefaultBridge::configured(arguments.bridge.as_deref(), arguments.bip.as_deref())?;
    let goes_on = arrival
        .as_ref()
        .is_some_and(|arrival| !arrival.is_damaged());
    let mut idle = Vec::new();
    let (engine, listener) = match arrival {
        None => {
            let reaper = Reaper::start().context("become the reaper of children")?;
            let engine = Engine::new(options, reaper)?;
            (engine, listen(&arguments.socket)?)
        }
        Some(mut arrival) => {
            let socket = arrival.listener(&arguments.socket);
            idle = arrival.connections();
            let listener = match socket {
                Some(socket) => UnixListener::from_std(socket.into())
                    .context("take over the listening socket")?,
                None => listen(&arguments.socket)?,
            };
            (Engine::resume(options, arrival)?, listener)
        }
    };
    // What came before there was somebody to deal with it.
    signals::unblock_all().context("let signals through")?;
    let copy = listener
        .as_fd()
        .try_clone_to_owned()
        .context("keep the listening socket")?;
    tracing::info!("System Docker listens on {}", arguments.socket.display());
    let server = tokio::spawn(coracle_api::serve(
        listener,
        Arc::clone(&engine),
        idle,
        std::future::pending(),
    ));
    if !goes_on {
        let _task = engine.work().begin("start of containers").await;
        engine.start_by_policy().await;
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = reload.recv() => {
                let engine = Arc::clone(&engine);
                tokio::spawn(async move {
                    if let Err(error) = engine.reload(None).await {
                        tracing::error!("{error}");
                    }
                });
                continue;
            }
            program = engine.reload_wanted() => {
                let mut departure = engine.hand_over(copy).await;
                departure.keep(server.await.unwrap_or_default());
                let late = terminate.recv().now_or_never().is_some()
                    || interrupt.recv().now_or_never().is_some();
                return Ok(End::HandOver(Box::new(departure), program, late.then_some(TERM)));
            }
        }
        break;
    }
    if !engine.work().stay() {
        // Too late: the successor stops the containers.
        let program = engine.reload_wanted().await;
        let mut departure = engine.hand_over(copy).await;
        departure.keep(server.await.unwrap_or_default());
        return Ok(End::HandOver(Box::new(departure), program, Some(TERM)));
    }
    engine.shutdown(None).await;
    server.abort();
    // Nobody listens on it any more.
    let _ = fs::remove_file(&arguments.socket);
    Ok(End::Stopped)
}

/// An environment variable in capitals or small letters.
fn variable(name: &str) -> String {
    std::env::var(name.to_uppercase())
        .or_else(|_| std::env::var(name))
        .unwrap_or_default()
}

fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove the old socket {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("protect {}", path.display()))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_pairs_and_paths_absolute() {
        let of = |line: &str| parse(line.split_whitespace().map(OsString::from).collect());
        let arguments =
            of("--root /r --exec-root /x --socket /s --images /i --cgroup-parent /c --insecure-registry a --insecure-registry b").unwrap();
        assert_eq!(
            (arguments.root, arguments.exec_root, arguments.socket),
            ("/r".into(), "/x".into(), "/s".into())
        );
        assert_eq!(arguments.images, Some("/i".into()));
        assert_eq!(arguments.insecure_registries, ["a", "b"]);
        let arguments =
            of("--root /r --exec-root /x --socket /s --bip 10.9.0.1/24 --bridge b").unwrap();
        assert_eq!(
            (arguments.bip.as_deref(), arguments.bridge.as_deref()),
            (Some("10.9.0.1/24"), Some("b"))
        );
        for (line, text) in [
            ("--root", "--root needs a value"),
            ("--nope x", "unknown option --nope"),
            (
                "--root /r --exec-root /x",
                "--socket must be given as an absolute path",
            ),
            (
                "--root r --exec-root /x --socket /s",
                "--root must be given as an absolute path",
            ),
        ] {
            assert!(
                of(line).unwrap_err().to_string().starts_with(text),
                "{line}"
            );
        }
    }
}
