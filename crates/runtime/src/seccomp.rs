//! System call filters: Docker's default profile, and profiles that users give.

use oci_spec::runtime::{Capabilities, LinuxSeccomp};

use crate::Error;

/// Docker's default profile for a process with the bounding set `capabilities`.
pub fn default_profile(capabilities: &Capabilities) -> LinuxSeccomp {
    let _ = capabilities;
    unimplemented!()
}

/// A profile in Docker's JSON format (`--security-opt seccomp=FILE`), resolved for the bounding set `capabilities`.
///
/// # Errors
/// [`Error::Seccomp`] says what is wrong and where.
pub fn parse_profile(json: &str, capabilities: &Capabilities) -> Result<LinuxSeccomp, Error> {
    let _ = (json, capabilities);
    unimplemented!()
}
