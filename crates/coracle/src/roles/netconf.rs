//! `netconf`: the body of the `network` container.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use coracle_host_network::Options;
use coracle_host_network::state::STATE_FILE;

/// Runs until SIGTERM; SIGHUP reads the configuration again. Takes no arguments.
pub fn run(_args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    super::log::to_stderr();
    coracle_host_network::run(Options {
        load: Box::new(super::log::configuration),
        etc: PathBuf::from("/etc"),
        state_file: Path::new(STATE_FILE).to_owned(),
        time_sources: PathBuf::from("/run/chrony-dhcp/network.sources"),
    })?;
    Ok(ExitCode::SUCCESS)
}
