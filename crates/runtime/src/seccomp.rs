//! System call filters: Docker's default profile, and profiles that users give.
//!
//! The default profile has the meaning of moby's (`profiles/seccomp`), written as a table: an allow list, a few calls
//! whose arguments decide, and calls that come with a capability. Everything else fails with `EPERM`.

mod profile;
#[cfg(test)]
mod published;
mod table;

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};

pub use self::profile::parse as parse_profile;

/// Error numbers that profiles name.
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// The flags of `clone(2)` that make a namespace: mount, cgroup, UTS, IPC, user, PID and network.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;
/// Address families that are refused: the kernel's cryptography, whose bugs are a way out of containers, and sockets of
/// virtual machines, whose traffic would pass by the network namespace.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;
/// What may be asked of `personality(2)`: Linux, 32-bit Linux, both with a version number of 2.6, and the query.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Docker's default profile for a process with the bounding set `capabilities`.
pub fn default_profile(capabilities: &Capabilities) -> LinuxSeccomp {
    let mut rules = vec![allow(table::ALWAYS, vec![])];
    // All but the two.
    for (operator, family) in [
        (LinuxSeccompOperator::ScmpCmpLt, AF_ALG),
        (LinuxSeccompOperator::ScmpCmpEq, AF_ALG + 1),
        (LinuxSeccompOperator::ScmpCmpGt, AF_VSOCK),
    ] {
        rules.push(allow("socket", vec![compare(operator, family, None)]));
    }
    for domain in PERSONALITIES {
        rules.push(allow(
            "personality",
            vec![compare(LinuxSeccompOperator::ScmpCmpEq, domain, None)],
        ));
    }
    for (capability, names) in table::WITH_CAPABILITY {
        if capabilities.contains(capability) {
            rules.push(allow(names, vec![]));
        }
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        let no_namespace = compare(
            LinuxSeccompOperator::ScmpCmpMaskedEq,
            NAMESPACE_FLAGS,
            Some(0),
        );
        rules.push(allow("clone", vec![no_namespace]));
        // Its flags are in memory, where a filter cannot see them; with ENOSYS the C library falls back to clone.
        let mut clone3 = rule("clone3", LinuxSeccompAction::ScmpActErrno, vec![]);
        clone3.set_errno_ret(Some(ENOSYS));
        rules.push(clone3);
    }
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(EPERM))
        .set_architectures(Some(vec![
            Arch::ScmpArchX86_64,
            Arch::ScmpArchX86,
            Arch::ScmpArchX32,
        ]))
        .set_syscalls(Some(rules));
    profile
}

fn allow(names: &str, args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    rule(names, LinuxSeccompAction::ScmpActAllow, args)
}

fn rule(names: &str, action: LinuxSeccompAction, args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.split_whitespace().map(str::to_owned).collect())
        .set_action(action);
    rule.set_args((!args.is_empty()).then_some(args));
    rule
}

/// A condition on the first argument.
fn compare(op: LinuxSeccompOperator, value: u64, value_two: Option<u64>) -> LinuxSeccompArg {
    let mut builder = LinuxSeccompArgBuilder::default()
        .index(0usize)
        .value(value)
        .op(op);
    if let Some(value_two) = value_two {
        builder = builder.value_two(value_two);
    }
    // Every field has a default, so building cannot fail.
    builder.build().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::capabilities::default_set;

    fn allowed(profile: &LinuxSeccomp) -> HashSet<String> {
        let rules = profile.syscalls().iter().flatten();
        rules
            .filter(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow)
            .flat_map(|rule| rule.names().clone())
            .collect()
    }

    #[test]
    fn no_system_call_is_listed_twice_and_libseccomp_knows_the_old_ones() {
        let names: Vec<_> = table::ALWAYS.split_whitespace().collect();
        let unique: HashSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len());
        // Newer than the oldest libseccomp we build with (2.5.4).
        let new = [
            "cachestat",
            "fchmodat2",
            "futex_requeue",
            "futex_wait",
            "futex_wake",
            "getxattrat",
            "listmount",
            "listxattrat",
            "map_shadow_stack",
            "mseal",
            "removexattrat",
            "setxattrat",
            "statmount",
            "uretprobe",
            "lsm_get_self_attr",
            "lsm_list_modules",
            "lsm_set_self_attr",
        ];
        let conditional = table::WITH_CAPABILITY
            .iter()
            .flat_map(|(_, names)| names.split_whitespace());
        for name in names
            .iter()
            .copied()
            .chain(conditional)
            .filter(|name| !new.contains(name))
        {
            assert!(libseccomp::ScmpSyscall::from_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn capabilities_open_their_system_calls() {
        let with = |capability| {
            allowed(&default_profile(
                &default_set().into_iter().chain([capability]).collect(),
            ))
        };
        let plain = allowed(&default_profile(&default_set()));
        for name in [
            "read",
            "execve",
            "chroot",
            "ptrace",
            "personality",
            "socket",
            "clone",
            "landlock_add_rule",
        ] {
            assert!(plain.contains(name), "{name}");
        }
        for name in [
            "mount",
            "keyctl",
            "add_key",
            "request_key",
            "unshare",
            "setns",
            "bpf",
            "io_uring_setup",
            "clone3",
            "reboot",
            "swapon",
            "userfaultfd",
            "kexec_load",
            "open_by_handle_at",
            "clock_settime",
        ] {
            assert!(!plain.contains(name), "{name}");
        }
        for (capability, name) in [
            (Capability::SysAdmin, "mount"),
            (Capability::SysAdmin, "clone3"),
            (Capability::SysBoot, "reboot"),
            (Capability::SysTime, "clock_settime"),
            (Capability::Bpf, "bpf"),
            (Capability::DacReadSearch, "open_by_handle_at"),
            (Capability::Syslog, "syslog"),
            (Capability::SysModule, "finit_module"),
        ] {
            assert!(with(capability).contains(name), "{capability} {name}");
        }
    }

    #[test]
    fn making_namespaces_needs_sys_admin() {
        let profile = default_profile(&default_set());
        let rules = profile.syscalls().as_ref().unwrap();
        let clone = rules
            .iter()
            .find(|rule| rule.names() == &["clone"])
            .unwrap();
        let arg = clone.args().as_ref().unwrap()[0];
        assert_eq!(
            (arg.index(), arg.value(), arg.value_two()),
            (0, 0x7e02_0000, Some(0))
        );
        let clone3 = rules
            .iter()
            .find(|rule| rule.names() == &["clone3"])
            .unwrap();
        assert_eq!(
            (clone3.action(), clone3.errno_ret()),
            (LinuxSeccompAction::ScmpActErrno, Some(38))
        );
    }
}
