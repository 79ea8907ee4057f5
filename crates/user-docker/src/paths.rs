//! Where User Docker's things are.

/// The engine's programs (B10-005); searched first.
pub const ENGINE: &str = "/var/lib/rancher/engine";
/// Where else a user may have put an engine (A7-027), then the usual directories.
pub const SEARCH: &str =
    "/var/lib/rancher/engine:/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// dockerd's socket, opened by PID 1.
pub const DOCKER_SOCKET: &str = "/run/docker.sock";
/// Not dockerd's default: a pid that is in use again after a crash must not keep dockerd from starting.
pub const DOCKER_PID: &str = "/run/docker.pid";
/// Exists once the API has answered (B10-015).
pub const DOCKER_DONE: &str = "/run/docker-done";
/// What both daemons write (H4-003).
pub const LOG: &str = "/var/log/docker.log";
/// The user's own daemon configuration (B6-030).
pub const USER_DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// Below dockerd's data: there while this machine is a node of a swarm.
pub const SWARM_STATE: &str = "swarm/docker-state.json";

/// Generated: what dockerd reads.
pub const DAEMON_JSON: &str = "/run/coracle/docker/daemon.json";
/// Generated: what containerd reads.
pub const CONTAINERD_TOML: &str = "/run/coracle/docker/containerd.toml";
/// Where every containerd on Debian is, so that `ctr` and its like find it.
pub const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// containerd's sockets and the state of its shims.
pub const CONTAINERD_STATE: &str = "/run/containerd";

/// PID 1 makes it when it begins to shut the machine down.
pub const SHUTDOWN: &str = "/run/coracle/shutdown";

/// Mount point of the control groups.
pub const CGROUP: &str = "/sys/fs/cgroup";
/// Groups of containerd and its shims, one for each container of System Docker that has run an engine.
pub const ENGINE_CGROUPS: &str = "/sys/fs/cgroup/user-docker";
