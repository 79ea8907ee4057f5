//! The commands that configuration may run around the set-up (inventory B5-001, B5-019, H1-014).

use std::process::Stdio;
use std::time::Duration;

use crate::config::Command;

/// A command that runs longer is killed: nothing else is configured while it runs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the commands one after the other. A command that fails is logged and the next one runs: the network matters more
/// than any of them.
pub async fn run_all(key: &str, commands: &[Command]) {
    for command in commands {
        let Some((program, arguments)) = command.0.split_first() else {
            continue;
        };
        let child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                tracing::error!("{key}: cannot run {program}: {error}");
                continue;
            }
        };
        match tokio::time::timeout(LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => tracing::info!("{key}: ran {:?}", command.0),
            Ok(Ok(status)) => tracing::error!("{key}: {:?} failed: {status}", command.0),
            Ok(Err(error)) => tracing::error!("{key}: cannot wait for {program}: {error}"),
            Err(_) => tracing::error!("{key}: {:?} killed after {} s", command.0, LIMIT.as_secs()),
        }
    }
}
