//! The files that the daemons start from.

use std::fs::File;
use std::path::Path;

use coracle_config::Config;
use coracle_console::file;

use crate::containerd_config;
use crate::daemon_config::DaemonConfig;
use crate::error::Error;
use crate::paths::{
    CONTAINERD_TOML, DAEMON_JSON, DOCKER_DONE, DOCKER_PID, LOG, SEARCH, SWARM_STATE,
    USER_DAEMON_JSON,
};
use crate::tls;

/// Reads what the owner of the machine wants of dockerd, and logs what cannot be used.
pub fn read(config: &Config) -> DaemonConfig {
    let user_file = std::fs::read_to_string(USER_DAEMON_JSON).ok();
    let mut docker = config.rancher.docker.clone();
    docker.debug = docker.debug.or(config.rancher.debug.then_some(true));
    let mut daemon = DaemonConfig::new(&docker, user_file.as_deref());
    if daemon.data_root().join(SWARM_STATE).exists() {
        daemon.fit_swarm_node();
    }
    for problem in &daemon.problems {
        tracing::error!("{problem}");
    }
    if let Err(error) = tls::write(&docker) {
        tracing::error!("{error}");
    }
    daemon
}

/// Writes both daemons' configuration and removes what an engine before this one may have left.
pub fn write(daemon: &DaemonConfig) -> Result<(), Error> {
    for stale in [DOCKER_PID, DOCKER_DONE] {
        let _ = std::fs::remove_file(stale);
    }
    write_daemon_json(daemon, false)?;
    let text = containerd_config::render(daemon.data_root(), daemon.debug());
    put(CONTAINERD_TOML, &text)?;
    std::fs::create_dir_all(daemon.data_root()).map_err(Error::file("create", daemon.data_root()))
}

/// Writes dockerd's file; see [`DaemonConfig::render`].
pub fn write_daemon_json(daemon: &DaemonConfig, shutting_down: bool) -> Result<(), Error> {
    put(DAEMON_JSON, &daemon.render(shutting_down))
}

fn put(path: &str, text: &str) -> Result<(), Error> {
    file::replace(Path::new(path), text.as_bytes(), 0o600, None)
        .map_err(|error| Error::file("write", path)(std::io::Error::other(error)))
}

/// The daemons' log, to read and to append to; their own standard error when it cannot be opened (a full disk must not keep Docker
/// from starting).
pub fn open_log() -> Option<File> {
    let opened = File::options()
        .read(true)
        .append(true)
        .create(true)
        .open(LOG);
    opened
        .inspect_err(|error| {
            tracing::error!("cannot open {LOG}: {error}; the engine logs here instead")
        })
        .ok()
}

/// What the daemons get besides their own environment: search path, proxies (H1-020) and `rancher.docker.environment`.
pub fn environment(config: &Config) -> Vec<(String, String)> {
    let network = &config.rancher.network;
    let proxies = [
        ("HTTP_PROXY", &network.http_proxy),
        ("HTTPS_PROXY", &network.https_proxy),
        ("NO_PROXY", &network.no_proxy),
    ];
    let mut environment = vec![("PATH".to_owned(), SEARCH.to_owned())];
    for (name, value) in proxies {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            environment.push((name.to_owned(), value.to_owned()));
        }
    }
    for entry in &config.rancher.docker.environment {
        match entry.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                environment.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                tracing::error!("rancher.docker.environment: {entry:?} is not NAME=VALUE; ignored")
            }
        }
    }
    environment
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn environment_of_the_daemons() {
        let config = json!({"rancher": {
            "network": {"http_proxy": "http://p:3128", "no_proxy": ""},
            "docker": {"environment": ["A=b=c", "broken"]},
        }});
        let expected = [
            ("PATH", SEARCH),
            ("HTTP_PROXY", "http://p:3128"),
            ("A", "b=c"),
        ];
        assert_eq!(
            environment(&serde_json::from_value(config).unwrap()),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
