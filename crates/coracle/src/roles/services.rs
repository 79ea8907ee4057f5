//! The bodies of the small system services.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use coracle_services::{Engine, Kind, SYSTEM_SOCKET, cron, entrypoint, udev_settle};

use super::log;

/// `system-cron`: acts on System Docker's containers, or on those of the engine that `DOCKER_HOST` names.
pub fn cron(_args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    log::to_stderr();
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = match host.strip_prefix("unix://") {
        Some(path) => Path::new(path),
        None if host.is_empty() => Path::new(SYSTEM_SOCKET),
        None => bail!("DOCKER_HOST is {host}; only unix:// sockets are supported"),
    };
    let engine = Engine::at(Kind::System, socket)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(cron::run(&engine))?;
    Ok(ExitCode::SUCCESS)
}

/// `ros udev-settle`.
pub fn udev_settle(_args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    udev_settle::run()?;
    Ok(ExitCode::SUCCESS)
}

/// `ros entrypoint COMMAND`.
pub fn entrypoint(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    match entrypoint::run(&args)? {}
}
