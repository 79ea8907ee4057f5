//! `coracle engine`: System Docker as a plain process.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs until SIGTERM.
pub fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet: {args:?}")
}
