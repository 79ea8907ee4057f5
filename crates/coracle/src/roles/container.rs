//! `coracle runtime` and `coracle unpack`, the helpers of System Docker, and `docker-init`.

use std::ffi::OsString;
use std::process::ExitCode;

/// Makes a container or adds a process to one. Single-threaded: nothing may run before it.
pub fn runtime(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    Ok(coracle_runtime::main(args))
}

/// The first process of a container with `--init`.
pub fn docker_init(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    Ok(coracle_runtime::init_process::main(args))
}

/// Unpacks image archives and layers.
pub fn unpack(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    Ok(coracle_image::unpack::main(args))
}
