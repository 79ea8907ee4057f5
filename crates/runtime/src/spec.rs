//! Corrections of an OCI configuration that `libcontainer` needs.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capabilities, Linux, LinuxCapabilities, Process, Spec};

/// Rewrites what `libcontainer` refuses or misreads, without changing its meaning. The helper does this to every
/// `config.json` it is given; see the comments for what and why.
///
/// `own` is the bounding set of the process that makes the container: more than that it cannot hand on.
pub fn normalise(spec: &mut Spec, own: &Capabilities) {
    if let Some(mut process) = spec.process().clone() {
        normalise_process(&mut process, own);
        spec.set_process(Some(process));
    }
    let wanted = propagation(spec);
    if let Some(linux) = spec.linux_mut() {
        linux.set_rootfs_propagation(wanted);
        normalise_cgroup(linux);
    }
}

/// The same for the process alone.
pub fn normalise_process(process: &mut Process, own: &Capabilities) {
    // `Some(false)` makes libcontainer install the seccomp filter after it dropped the right to.
    if process.no_new_privileges() == Some(false) {
        process.set_no_new_privileges(None);
    }
    if let Some(sets) = process.capabilities() {
        let limit = |set: &Option<Capabilities>| {
            Some(
                set.iter()
                    .flatten()
                    .filter(|capability| own.contains(capability))
                    .copied()
                    .collect(),
            )
        };
        let mut limited = LinuxCapabilities::default();
        limited
            .set_bounding(limit(sets.bounding()))
            .set_effective(limit(sets.effective()))
            .set_permitted(limit(sets.permitted()))
            .set_inheritable(limit(sets.inheritable()))
            .set_ambient(limit(sets.ambient()));
        process.set_capabilities(Some(limited));
    }
}

/// The root's propagation, without the `r` that libcontainer does not know (it is always recursive).
///
/// A mount that must propagate to or from the host can only do so below a root that does: as dockerd does, the
/// mounts' wishes raise the root's.
fn propagation(spec: &Spec) -> Option<String> {
    let given = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.rootfs_propagation().clone());
    let given = given.map(|text| match text.strip_prefix('r') {
        Some(rest @ ("shared" | "slave" | "private")) => rest.to_owned(),
        _ if text == "runbindable" => "unbindable".to_owned(),
        _ => text,
    });
    let options: Vec<&str> = spec
        .mounts()
        .iter()
        .flatten()
        .flat_map(|mount| mount.options().iter().flatten())
        .map(String::as_str)
        .collect();
    let asks = |names: [&str; 2]| options.iter().any(|option| names.contains(option));
    if asks(["shared", "rshared"]) {
        Some("shared".to_owned())
    } else if asks(["slave", "rslave"]) && given.as_deref() != Some("shared") {
        Some("slave".to_owned())
    } else {
        given.filter(|text| !text.is_empty())
    }
}

/// With a user namespace libcontainer takes a relative path as a systemd unit.
fn normalise_cgroup(linux: &mut Linux) {
    if let Some(path) = linux.cgroups_path()
        && !path.is_absolute()
        && !path.as_os_str().is_empty()
    {
        let absolute: PathBuf = Path::new("/").join(path);
        linux.set_cgroups_path(Some(absolute));
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Capability::{Chown, Kill, SysAdmin};
    use oci_spec::runtime::{LinuxBuilder, MountBuilder, ProcessBuilder, SpecBuilder};

    use super::*;

    fn with_mount_option(root: Option<&str>, option: &str) -> Option<String> {
        let mut linux = LinuxBuilder::default().build().unwrap();
        linux.set_rootfs_propagation(root.map(str::to_owned));
        let mount = MountBuilder::default()
            .destination("/x")
            .source("/y")
            .options(vec!["rbind".to_owned(), option.to_owned()])
            .build()
            .unwrap();
        let mut spec = SpecBuilder::default()
            .linux(linux)
            .mounts(vec![mount])
            .build()
            .unwrap();
        normalise(&mut spec, &Capabilities::new());
        spec.linux().as_ref().unwrap().rootfs_propagation().clone()
    }

    #[test]
    fn propagation_is_what_libcontainer_knows_and_the_mounts_need() {
        for (root, option, expected) in [
            (None, "ro", None),
            (Some(""), "ro", None),
            (Some("rprivate"), "rprivate", Some("private")),
            (Some("rslave"), "ro", Some("slave")),
            (Some("rshared"), "ro", Some("shared")),
            (Some("runbindable"), "ro", Some("unbindable")),
            (None, "rshared", Some("shared")),
            (Some("private"), "shared", Some("shared")),
            (Some("rprivate"), "rslave", Some("slave")),
            (Some("shared"), "rslave", Some("shared")),
        ] {
            assert_eq!(
                with_mount_option(root, option).as_deref(),
                expected,
                "{root:?} {option}"
            );
        }
    }

    #[test]
    fn capabilities_are_limited_to_our_own_and_false_means_unset() {
        let mut process = ProcessBuilder::default()
            .no_new_privileges(false)
            .build()
            .unwrap();
        let all: Capabilities = [Chown, Kill, SysAdmin].into();
        let mut sets = LinuxCapabilities::default();
        sets.set_bounding(Some(all.clone()))
            .set_effective(Some(all.clone()))
            .set_ambient(None);
        process.set_capabilities(Some(sets));
        let own: Capabilities = [Chown, Kill].into();
        normalise_process(&mut process, &own);
        assert_eq!(process.no_new_privileges(), None);
        let sets = process.capabilities().as_ref().unwrap();
        assert_eq!(sets.bounding(), &Some(own.clone()));
        assert_eq!(sets.effective(), &Some(own));
        assert_eq!(sets.ambient(), &Some(Capabilities::new()));
    }

    #[test]
    fn a_cgroup_path_is_absolute() {
        let mut linux = LinuxBuilder::default()
            .cgroups_path("docker/x")
            .build()
            .unwrap();
        normalise_cgroup(&mut linux);
        assert_eq!(
            linux.cgroups_path().as_deref(),
            Some(Path::new("/docker/x"))
        );
    }
}
