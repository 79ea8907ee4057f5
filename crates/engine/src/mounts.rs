//! What is mounted in a container: from the client's words to a list of mount points.

mod bind;
mod copy_up;
mod mount_api;
mod plan;

pub use bind::clean;
pub use copy_up::copy_up;
pub use plan::{Sources, plan};

/// How mounts and unmounts below a bind travel between container and host (`mount_namespaces(7)`).
pub const PROPAGATION_MODES: &[&str] = &[
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// The default of binds.
pub const DEFAULT_PROPAGATION: &str = "rprivate";
