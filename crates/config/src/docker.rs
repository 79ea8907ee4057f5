//! `rancher.docker` and `rancher.system_docker` (inventory B.6).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::lenient;

/// Options of a Docker daemon. Unset options keep the daemon's own default, or `daemon.json`'s.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DockerConfig {
    /// Version to run (B6-001): `latest` or a name from `ros engine list`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub engine: Option<String>,
    /// `--bridge`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub bridge: Option<String>,
    /// `--bip`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub bip: Option<String>,
    /// `--config-file`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub config_file: Option<String>,
    /// `--containerd`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub containerd: Option<String>,
    /// `--debug`.
    #[serde(deserialize_with = "lenient::optional_boolean")]
    pub debug: Option<bool>,
    /// `--exec-root`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub exec_root: Option<String>,
    /// `--group`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub group: Option<String>,
    /// `--data-root`; `graph` is its old name (B6-009).
    #[serde(alias = "graph", deserialize_with = "lenient::optional_string")]
    pub data_root: Option<String>,
    /// `--host`, several.
    #[serde(deserialize_with = "lenient::strings")]
    pub host: Vec<String>,
    /// `--insecure-registry`, several.
    #[serde(deserialize_with = "lenient::strings")]
    pub insecure_registry: Vec<String>,
    /// `--registry-mirror`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub registry_mirror: Option<String>,
    /// `--live-restore`.
    #[serde(deserialize_with = "lenient::optional_boolean")]
    pub live_restore: Option<bool>,
    /// `--log-driver`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub log_driver: Option<String>,
    /// `--log-opt`, several.
    #[serde(deserialize_with = "lenient::string_map")]
    pub log_opts: BTreeMap<String, String>,
    /// `--pidfile`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub pid_file: Option<String>,
    /// `--restart`, an option of old daemons.
    #[serde(deserialize_with = "lenient::optional_boolean")]
    pub restart: Option<bool>,
    /// `--storage-driver`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub storage_driver: Option<String>,
    /// `--userland-proxy`.
    #[serde(deserialize_with = "lenient::optional_boolean")]
    pub userland_proxy: Option<bool>,
    /// Whether to listen with TLS, with the arguments of `tls_args`.
    #[serde(deserialize_with = "lenient::boolean")]
    pub tls: bool,
    /// Arguments added when `tls` is set.
    #[serde(deserialize_with = "lenient::strings")]
    pub tls_args: Vec<String>,
    /// Arguments added as they are.
    #[serde(deserialize_with = "lenient::strings")]
    pub extra_args: Vec<String>,
    /// Certificate, key and authority for TLS, in PEM.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub server_cert: Option<String>,
    /// See `server_cert`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub server_key: Option<String>,
    /// See `server_cert`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub ca_cert: Option<String>,
    /// See `server_cert`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub ca_key: Option<String>,
    /// `KEY=VALUE` for the daemon's environment.
    #[serde(deserialize_with = "lenient::strings")]
    pub environment: Vec<String>,
    /// Container whose root file system the daemon sees (B6-026).
    #[serde(deserialize_with = "lenient::optional_string")]
    pub storage_context: Option<String>,
    /// `--userns-remap` with user `user-docker` (B6-028).
    #[serde(deserialize_with = "lenient::boolean")]
    pub userns_enabled: bool,
}
