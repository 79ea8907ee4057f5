//! From a container's record to the OCI configuration (`config.json`) that the runtime helper gets.
//!
//! [`generate`] is pure: everything that must be looked up is in [`Input`], so that the result can be compared whole.

mod mounts;
mod process;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard_stubs::models::ResourcesUlimits;
use oci_spec::runtime::{
    Capabilities, Linux, LinuxDevice, LinuxDeviceCgroup, LinuxNamespace, LinuxNamespaceType,
    LinuxResources, LinuxSeccomp, Root, Spec,
};

use crate::namespaces::{Namespace, Namespaces};
use crate::record::{MountPoint, Record};
use crate::user::Account;

pub use process::{ExecInput, exec_process, rlimit};

/// Docker's masked paths of containers that are not privileged.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Docker's read-only paths of containers that are not privileged.
pub const READONLY_PATHS: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Where a container's init is, as in Docker.
pub const INIT_PATH: &str = "/sbin/docker-init";

/// Everything that a configuration is made of.
#[derive(Debug)]
pub struct Input<'a> {
    /// The container.
    pub record: &'a Record,
    /// Where its root is mounted.
    pub root: &'a Path,
    /// Absolute path of its control group.
    pub cgroup_path: &'a str,
    /// Who it runs as.
    pub account: &'a Account,
    /// Its host name; `None` when it has the host's namespace.
    pub hostname: Option<&'a str>,
    /// Its namespaces.
    pub namespaces: &'a Namespaces,
    /// Volumes, binds and tmpfs, with their sources.
    pub mounts: &'a [MountPoint],
    /// Files that are mounted over the image's: path in the container and on the host.
    pub files: &'a [(String, PathBuf)],
    /// The host's directory for `/dev/shm`; `None` is a tmpfs of its own.
    pub shm: Option<&'a Path>,
    /// The host's directory for `/dev/mqueue`; `None` is that of its IPC namespace.
    pub mqueue: Option<&'a Path>,
    /// What it may do.
    pub capabilities: &'a Capabilities,
    /// Which system calls it may use; `None` is all.
    pub seccomp: Option<LinuxSeccomp>,
    /// Whether it can never gain privileges.
    pub no_new_privileges: bool,
    /// Whether `/sys/fs/cgroup` may be written.
    pub writable_cgroups: bool,
    /// Its device nodes besides the standard ones.
    pub devices: Vec<LinuxDevice>,
    /// The devices it may use.
    pub device_rules: Vec<LinuxDeviceCgroup>,
    /// The program that is mounted as the container's init, if it has one.
    pub init: Option<&'a Path>,
    /// Limits of its processes.
    pub ulimits: &'a [ResourcesUlimits],
    /// How many sockets are handed over.
    pub listen_fds: usize,
}

/// The configuration.
pub fn generate(input: Input<'_>) -> Spec {
    let host = &input.record.host_config;
    let mut root = Root::default();
    root.set_path(input.root.to_owned());
    root.set_readonly(Some(host.readonly_rootfs.unwrap_or(false)));

    let mut spec = Spec::default();
    spec.set_version("1.2.0".to_owned());
    spec.set_root(Some(root));
    spec.set_hostname(input.hostname.map(str::to_owned));
    let domain = input
        .record
        .config
        .domainname
        .clone()
        .filter(|domain| !domain.is_empty());
    spec.set_domainname(domain.filter(|_| input.hostname.is_some()));
    spec.set_process(Some(process::container_process(&input)));
    spec.set_mounts(Some(mounts::all(&input)));
    spec.set_annotations(host.annotations.clone().filter(|map| !map.is_empty()));
    spec.set_linux(Some(linux(input)));
    spec
}

fn linux(input: Input<'_>) -> Linux {
    let host = &input.record.host_config;
    let mut linux = Linux::default();
    linux.set_sysctl(sysctls(&input));
    linux.set_cgroups_path(Some(PathBuf::from(input.cgroup_path)));
    linux.set_namespaces(Some(namespaces(input.namespaces)));
    // As Docker's mounts are; the runtime's helper widens it for those that ask for more.
    linux.set_rootfs_propagation(Some("private".to_owned()));
    linux.set_masked_paths(host.masked_paths.clone().filter(|paths| !paths.is_empty()));
    linux.set_readonly_paths(
        host.readonly_paths
            .clone()
            .filter(|paths| !paths.is_empty()),
    );
    linux.set_seccomp(input.seccomp);
    linux.set_devices(Some(input.devices).filter(|devices| !devices.is_empty()));
    // Limits are the engine's business (`crate::resources`); the rules are here for whoever reads the file.
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(input.device_rules));
    linux.set_resources(Some(resources));
    linux
}

fn namespaces(namespaces: &Namespaces) -> Vec<LinuxNamespace> {
    let new = Namespace::New;
    let list = [
        (LinuxNamespaceType::Mount, &new),
        (LinuxNamespaceType::Network, &namespaces.net),
        (LinuxNamespaceType::Uts, &namespaces.uts),
        (LinuxNamespaceType::Pid, &namespaces.pid),
        (LinuxNamespaceType::Ipc, &namespaces.ipc),
        (LinuxNamespaceType::Cgroup, &namespaces.cgroup),
    ];
    list.into_iter()
        .filter(|(_, namespace)| **namespace != Namespace::Host)
        .map(|(kind, namespace)| {
            let mut entry = LinuxNamespace::default();
            entry.set_typ(kind);
            if let Namespace::Join(path) = namespace {
                entry.set_path(Some(path.clone()));
            }
            entry
        })
        .collect()
}

/// Docker's defaults for a network of its own: anybody may bind low ports and ping.
fn sysctls(input: &Input<'_>) -> Option<HashMap<String, String>> {
    let mut all = HashMap::new();
    if input.namespaces.net == Namespace::New
        && !input.record.host_config.privileged.unwrap_or(false)
    {
        all.insert(
            "net.ipv4.ip_unprivileged_port_start".to_owned(),
            "0".to_owned(),
        );
        all.insert(
            "net.ipv4.ping_group_range".to_owned(),
            "0 2147483647".to_owned(),
        );
    }
    all.extend(input.record.host_config.sysctls.clone().unwrap_or_default());
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests;
