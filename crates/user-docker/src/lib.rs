//! User Docker: the real Docker Engine in the `docker` container (inventory D1-016, A7-023 to A7-027).
//!
//! [`supervisor`] is the container's main process. It starts containerd and dockerd at the same time, hands dockerd the socket
//! that PID 1 has listened on since boot, and decides what an end means: containers of the users survive an end of the engine
//! (live-restore), except when the machine shuts down. Where dockerd has not started, it tells the clients that wait on the socket why.
//!
//! ```text
//! cgroup /system-docker/<id>   supervisor, dockerd        killed with the container
//! cgroup /user-docker/<id>     containerd, its shims      outlives it: shims hold the users' containers
//! cgroup /docker/<id>          the users' containers
//! ```

pub mod api;
pub mod cgroup;
pub mod containerd_config;
pub mod daemon_config;
mod error;
pub mod launch;
pub mod paths;
mod prepare;
pub mod propagation;
mod refusal;
mod reserve;
pub mod supervisor;
pub mod tls;
mod turn;
pub mod wait;
pub mod weight;

pub use error::Error;
