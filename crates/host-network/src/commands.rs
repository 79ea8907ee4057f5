//! The commands that configuration may run around the set-up (inventory B5-001, B5-019, H1-014).

use std::process::Stdio;
use std::time::Duration;

use coracle_config::Command;

/// A command that runs longer is killed: nothing else is configured while it runs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the commands one after the other. A command that fails is logged and the next one runs: the network matters more
/// than any of them.
pub async fn run_all(key: &str, commands: &[Command]) {
    for command in commands {
        let shell = |line: &String| vec!["sh".to_owned(), "-c".to_owned(), line.clone()];
        let words = match command {
            Command::Shell(line) => shell(line),
            Command::Words(words) => words.clone(),
        };
        let Some((program, arguments)) = words.split_first() else {
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
            Ok(Ok(status)) if status.success() => tracing::info!("{key}: ran {:?}", words),
            Ok(Ok(status)) => tracing::error!("{key}: {:?} failed: {status}", words),
            Ok(Err(error)) => tracing::error!("{key}: cannot wait for {program}: {error}"),
            Err(_) => tracing::error!("{key}: {:?} killed after {} s", words, LIMIT.as_secs()),
        }
    }
}
