//! Which devices a container has and may use.

use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup};

use crate::Error;

/// Docker's default device rules: nothing, except making nodes and the harmless devices of every container.
pub fn default_rules() -> Vec<LinuxDeviceCgroup> {
    unimplemented!()
}

/// The one rule of a privileged container: everything.
pub fn privileged_rules() -> Vec<LinuxDeviceCgroup> {
    unimplemented!()
}

/// The device nodes of a privileged container: everything under `dev` except terminals, pseudo file systems and what
/// the runtime makes itself.
///
/// # Errors
/// When `dev` cannot be read.
pub fn host_devices(dev: &Path) -> Result<Vec<LinuxDevice>, Error> {
    let _ = dev;
    unimplemented!()
}

/// A device of `--device PathOnHost:PathInContainer:CgroupPermissions`, with the rules that go with it; a directory gives all
/// devices under it.
///
/// # Errors
/// [`Error::Device`] in Docker's words when it does not exist or is no device.
pub fn from_host(
    path_on_host: &Path,
    path_in_container: &Path,
    permissions: &str,
) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>), Error> {
    let _ = (path_on_host, path_in_container, permissions);
    unimplemented!()
}

/// A rule of `--device-cgroup-rule`, for example `c 42:* rmw`.
///
/// # Errors
/// [`Error::Device`] when it is not of that form.
pub fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, Error> {
    let _ = text;
    unimplemented!()
}
