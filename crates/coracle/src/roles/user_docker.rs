//! The roles that the docker container is made of.

use std::ffi::OsString;
use std::process::ExitCode;

use coracle_user_docker::launch::Launch;

use super::log;

/// `user-docker`, also `ros user-docker`: supervises dockerd and containerd.
pub fn supervise(_args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    log::to_stderr();
    coracle_user_docker::supervisor::run(log::configuration)?;
    Ok(ExitCode::SUCCESS)
}

/// `user-docker-launch …`
pub fn launch(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    match Launch::parse(&args)?.run()? {}
}

/// `wait-for-docker`
pub fn wait(_args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    coracle_user_docker::wait::run()?;
    Ok(ExitCode::SUCCESS)
}
