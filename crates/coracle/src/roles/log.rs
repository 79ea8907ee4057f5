//! Messages of the roles that are bodies of system containers: to standard error, which System Docker keeps as the
//! container's log with the time of each line.

use std::path::Path;

use coracle_config::Config;
use tracing_subscriber::EnvFilter;

/// Sends messages to standard error; `CORACLE_LOG` chooses which (default `info`).
pub fn to_stderr() {
    from_level("info");
}

/// Sends warnings and errors to standard error: for commands, whose output is their own.
pub fn warnings_to_stderr() {
    from_level("warn");
}

fn from_level(level: &str) {
    let filter = EnvFilter::try_from_env("CORACLE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // A second call keeps the first subscriber, which is the same one.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .try_init();
}

/// The machine's configuration, with its problems logged.
pub fn configuration() -> Config {
    let loaded = coracle_config::load(Path::new("/"));
    for problem in &loaded.problems {
        tracing::error!("{problem}");
    }
    loaded.config
}
