//! One service as its definition says it, typed.

use std::collections::BTreeMap;

use crate::labels::Steering;
use crate::ports::Port;

/// A variable of a service's `environment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `KEY=VALUE`.
    Set(String, String),
    /// `KEY` alone: the value comes from [`crate::Environment`], and the variable is absent when there is none.
    Lookup(String),
    /// `KEY*`: every variable whose name begins so.
    Prefix(String),
}

/// A device of the host in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Path on the host.
    pub host: String,
    /// Path in the container.
    pub container: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// A resource limit of the container's processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// Name without `RLIMIT_`, small: `nofile`.
    pub name: String,
    /// Soft limit; -1 for none.
    pub soft: i64,
    /// Hard limit; -1 for none.
    pub hard: i64,
}

/// When the engine starts a container again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// Always.
    Always,
    /// After a failure, at most that many times if given.
    OnFailure(Option<i64>),
    /// Always, but not when somebody stopped it.
    UnlessStopped,
}

/// A service definition (compose v1, inventory B.8). Field names are compose's keys; absent keys are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)] // The fields are compose v1's keys one to one; those with rules of their own say them.
pub struct Service {
    /// Key in the `services` map.
    pub name: String,
    /// Name of the container; the key unless `container_name` says otherwise (B1-015).
    pub container_name: String,
    pub image: String,
    /// `None`: the image's own.
    pub command: Option<Vec<String>>,
    /// `None`: the image's own.
    pub entrypoint: Option<Vec<String>>,
    pub environment: Vec<Variable>,
    /// Files of `KEY=VALUE` lines, read when the project is loaded.
    pub env_file: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// The labels that steer Coracle, read from `labels`.
    pub steering: Steering,

    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub tty: bool,
    pub stdin_open: bool,
    pub read_only: bool,
    pub stop_signal: Option<String>,

    pub net: Option<String>,
    pub pid: Option<String>,
    pub ipc: Option<String>,
    pub uts: Option<String>,
    /// Whether it sees the machine's control groups by their whole paths (`cgroup: host` of the compose specification).
    pub host_cgroup: bool,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub extra_hosts: Vec<String>,
    /// `SERVICE` or `SERVICE:ALIAS`.
    pub links: Vec<String>,
    /// `CONTAINER` or `CONTAINER:ALIAS`, outside the project.
    pub external_links: Vec<String>,
    pub expose: Vec<String>,
    pub ports: Vec<Port>,
    pub mac_address: Option<String>,

    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub devices: Vec<Device>,
    pub security_opt: Vec<String>,
    pub cgroup_parent: Option<String>,

    /// `SOURCE:TARGET[:OPTIONS]` or `TARGET`.
    pub volumes: Vec<String>,
    /// `SERVICE` or `SERVICE:ro|rw`.
    pub volumes_from: Vec<String>,
    pub volume_driver: Option<String>,
    /// Mount point → options of a tmpfs.
    pub tmpfs: BTreeMap<String, String>,

    pub cpu_quota: Option<i64>,
    pub cpuset: Option<String>,
    pub cpu_shares: Option<i64>,
    /// Bytes.
    pub mem_limit: Option<i64>,
    /// Bytes, memory included; -1 for no limit.
    pub memswap_limit: Option<i64>,
    /// Bytes.
    pub shm_size: Option<i64>,
    pub oom_score_adj: Option<i64>,
    pub ulimits: Vec<Ulimit>,

    pub restart: Restart,
    pub log_driver: Option<String>,
    pub log_opt: BTreeMap<String, String>,
}
