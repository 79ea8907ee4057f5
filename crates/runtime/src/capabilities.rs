//! Which capabilities a container gets.

use std::fs;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use crate::Error;

/// Every capability, indexed by its number (`include/uapi/linux/capability.h`).
const BY_NUMBER: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Docker's default set as the kernel prints it.
const DEFAULT_MASK: u64 = 0xa804_25fb;

/// Docker's default set, `00000000a80425fb` in `/proc/PID/status`.
pub fn default_set() -> Capabilities {
    from_mask(DEFAULT_MASK)
}

/// What this process may hand on: its own bounding set.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn own_bounding_set() -> Result<Capabilities, Error> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let mask = mask.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    mask.map(from_mask).ok_or_else(|| Error::Malformed {
        path: path.into(),
        reason: "no line CapBnd".to_owned(),
    })
}

fn from_mask(mask: u64) -> Capabilities {
    (0..)
        .zip(BY_NUMBER)
        .filter(|(number, _)| mask >> number & 1 == 1)
        .map(|(_, capability)| capability)
        .collect()
}

/// The capabilities of a container: the default set with `add` and `drop` (names with or without `CAP_`, or `ALL`)
/// applied as Docker does, or everything when `privileged`; never more than `own`.
///
/// `ALL` added means everything except what is dropped; `ALL` dropped means nothing except what is added; otherwise
/// what is both added and dropped is kept (moby, `oci/caps.TweakCapabilities`).
///
/// # Errors
/// [`Error::UnknownCapability`].
pub fn resolve(
    add: &[String],
    drop: &[String],
    privileged: bool,
    own: &Capabilities,
) -> Result<Capabilities, Error> {
    let (add, all_added) = parse(add)?;
    let (drop, all_dropped) = parse(drop)?;
    let wanted: Capabilities = if privileged {
        BY_NUMBER.into()
    } else if all_added {
        BY_NUMBER
            .into_iter()
            .filter(|capability| !drop.contains(capability))
            .collect()
    } else if all_dropped {
        add
    } else {
        let kept: Capabilities = default_set().difference(&drop).copied().collect();
        kept.union(&add).copied().collect()
    };
    Ok(wanted.intersection(own).copied().collect())
}

/// The named capabilities, and whether `ALL` is among them.
fn parse(names: &[String]) -> Result<(Capabilities, bool), Error> {
    let mut all = false;
    let mut set = Capabilities::new();
    for name in names {
        let upper = name.trim().to_uppercase();
        if upper == "ALL" {
            all = true;
            continue;
        }
        let capability = by_name(&upper).ok_or_else(|| Error::UnknownCapability(name.clone()))?;
        set.insert(capability);
    }
    Ok((set, all))
}

/// The capability of an upper-case name with or without `CAP_`.
pub(crate) fn by_name(name: &str) -> Option<Capability> {
    name.strip_prefix("CAP_").unwrap_or(name).parse().ok()
}

/// The five sets of a process running as `uid`: like Docker, only root gets them as permitted and effective; nothing is
/// inheritable or ambient.
pub fn process_sets(capabilities: &Capabilities, uid: u32) -> LinuxCapabilities {
    let active = if uid == 0 {
        capabilities.clone()
    } else {
        Capabilities::new()
    };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(capabilities.clone()))
        .set_permitted(Some(active.clone()))
        .set_effective(Some(active))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    sets
}

#[cfg(test)]
mod tests {
    use Capability::{AuditWrite, Chown, Kill, Mknod, NetAdmin, NetRaw, SysAdmin};

    use super::*;

    fn mask(set: &Capabilities) -> u64 {
        (0..)
            .zip(BY_NUMBER)
            .filter(|(_, c)| set.contains(c))
            .map(|(n, _)| 1u64 << n)
            .sum()
    }

    #[test]
    fn the_default_set_is_dockers() {
        let mut names: Vec<_> = default_set().into_iter().map(|c| c.to_string()).collect();
        names.sort();
        assert_eq!(
            names.join(" "),
            "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP \
             SETUID SYS_CHROOT"
        );
        assert_eq!(mask(&from_mask(u64::MAX)), (1 << 41) - 1);
    }

    #[test]
    fn added_and_dropped_capabilities_follow_docker() {
        let full: Capabilities = BY_NUMBER.into();
        let default = DEFAULT_MASK;
        let bit = |c: Capability| mask(&[c].into());
        let cases: [(&[&str], &[&str], bool, u64); 10] = [
            (&[], &[], false, default),
            (&["NET_ADMIN"], &[], false, default | bit(NetAdmin)),
            (
                &["cap_net_admin", "CAP_SYS_ADMIN"],
                &["mknod"],
                false,
                (default | bit(NetAdmin) | bit(SysAdmin)) & !bit(Mknod),
            ),
            (&["ALL"], &[], false, (1 << 41) - 1),
            (
                &["all"],
                &["SYS_ADMIN"],
                false,
                ((1 << 41) - 1) & !bit(SysAdmin),
            ),
            (&[], &["ALL"], false, 0),
            (&["CHOWN"], &["ALL"], false, bit(Chown)),
            (&["KILL"], &["KILL"], false, default | bit(Kill)),
            (
                &[],
                &["NET_RAW", "AUDIT_WRITE"],
                false,
                default & !bit(NetRaw) & !bit(AuditWrite),
            ),
            (&[], &["ALL"], true, (1 << 41) - 1),
        ];
        for (add, drop, privileged, expected) in cases {
            let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            let set = resolve(&strings(add), &strings(drop), privileged, &full).unwrap();
            assert_eq!(
                format!("{:x}", mask(&set)),
                format!("{expected:x}"),
                "{add:?} {drop:?} {privileged}"
            );
        }
        let limited = resolve(&["ALL".to_owned()], &[], true, &[Chown].into()).unwrap();
        assert_eq!(limited, [Chown].into());
    }

    #[test]
    fn unknown_names_are_refused() {
        let error = resolve(&["CAP_FLY".to_owned()], &[], false, &default_set()).unwrap_err();
        assert_eq!(error.to_string(), "unknown capability: \"CAP_FLY\"");
    }

    #[test]
    fn only_root_has_effective_capabilities() {
        let user = process_sets(&default_set(), 1000);
        assert_eq!(user.bounding(), &Some(default_set()));
        assert_eq!(
            (user.effective(), user.permitted()),
            (&Some(Capabilities::new()), &Some(Capabilities::new()))
        );
        let root = process_sets(&default_set(), 0);
        assert_eq!(
            (root.effective(), root.permitted()),
            (&Some(default_set()), &Some(default_set()))
        );
    }
}
