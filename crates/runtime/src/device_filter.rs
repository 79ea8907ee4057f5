//! The eBPF program that enforces device rules on cgroup v2.

use std::path::Path;

use coracle_sys::bpf::Instruction;
use oci_spec::runtime::LinuxDeviceCgroup;

use crate::Error;

/// Compiles rules to a program; as in cgroup v1, the last rule that matches an access decides.
pub fn program(rules: &[LinuxDeviceCgroup]) -> Vec<Instruction> {
    let _ = rules;
    unimplemented!()
}

/// Compiles, loads and attaches `rules` to the control group directory `cgroup`. Do it once, before anything runs in it.
///
/// # Errors
/// [`Error::DeviceFilter`].
pub fn attach(cgroup: &Path, rules: &[LinuxDeviceCgroup]) -> Result<(), Error> {
    let _ = (cgroup, rules);
    unimplemented!()
}
