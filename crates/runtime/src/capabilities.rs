//! Which capabilities a container gets.

use oci_spec::runtime::{Capabilities, LinuxCapabilities};

use crate::Error;

/// Docker's default set, `00000000a80425fb` in `/proc/PID/status`.
pub fn default_set() -> Capabilities {
    unimplemented!()
}

/// What this process may hand on: its own bounding set.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn own_bounding_set() -> Result<Capabilities, Error> {
    unimplemented!()
}

/// The capabilities of a container: the default set with `add` and `drop` (names with or without `CAP_`, or `ALL`)
/// applied as Docker does, or everything when `privileged`; never more than `own`.
///
/// # Errors
/// [`Error::UnknownCapability`].
pub fn resolve(
    add: &[String],
    drop: &[String],
    privileged: bool,
    own: &Capabilities,
) -> Result<Capabilities, Error> {
    let _ = (add, drop, privileged, own);
    unimplemented!()
}

/// The five sets of a process running as `uid`: like Docker, only root gets them as permitted and effective; nothing is
/// inheritable or ambient.
pub fn process_sets(capabilities: &Capabilities, uid: u32) -> LinuxCapabilities {
    let _ = (capabilities, uid);
    unimplemented!()
}
