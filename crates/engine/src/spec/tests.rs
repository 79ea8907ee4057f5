use coracle_runtime::{capabilities, devices, seccomp};
use oci_spec::runtime::LinuxDeviceType;

use super::*;
use crate::create::fill_defaults;

/// The configuration of a container with default options, as its start makes it.
fn default_container() -> Spec {
    let mut record = Record {
        id: "0".repeat(64),
        ..Record::default()
    };
    record.config.cmd = Some(vec!["true".into()]);
    fill_defaults(&mut record.host_config, false);
    let capabilities = capabilities::default_set();
    generate(Input {
        record: &record,
        root: Path::new("/root"),
        cgroup_path: "/system-docker/x",
        account: &Account::default(),
        hostname: Some("x"),
        namespaces: &Namespaces {
            pid: Namespace::New,
            ipc: Namespace::New,
            uts: Namespace::New,
            net: Namespace::New,
            cgroup: Namespace::New,
        },
        mounts: &[],
        files: &[],
        shm: None,
        mqueue: None,
        capabilities: &capabilities,
        seccomp: Some(seccomp::default_profile(&capabilities)),
        no_new_privileges: false,
        writable_cgroups: false,
        devices: vec![],
        device_rules: devices::default_rules(),
        init: None,
        ulimits: &[],
        listen_fds: 0,
    })
}

/// What Docker 28 gives a container of root with default options: capabilities and paths of its documentation
/// ("Runtime privilege and Linux capabilities") and of moby's `oci/defaults.go` and `oci/caps`.
#[test]
fn default_containers_are_as_confined_as_dockers() {
    let spec = default_container();
    let process = spec.process().as_ref().unwrap();
    let sets = process.capabilities().as_ref().unwrap();
    let published = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    for set in [sets.bounding(), sets.effective(), sets.permitted()] {
        let mut names: Vec<_> = set.iter().flatten().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, published);
    }
    for set in [sets.inheritable(), sets.ambient()] {
        assert!(set.as_ref().is_none_or(|set| set.is_empty()), "{set:?}");
    }

    let linux = spec.linux().as_ref().unwrap();
    let masked = linux.masked_paths().as_deref().unwrap_or_default();
    for path in [
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
    ] {
        assert!(
            masked.iter().any(|masked| masked == path),
            "{path} is not masked"
        );
    }
    let read_only = linux.readonly_paths().as_deref().unwrap_or_default();
    for path in [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ] {
        assert!(
            read_only.iter().any(|found| found == path),
            "{path} can be written"
        );
    }
    let mut kinds: Vec<_> = linux
        .namespaces()
        .iter()
        .flatten()
        .map(|namespace| namespace.typ().to_string())
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["cgroup", "ipc", "mnt", "net", "pid", "uts"]);
    assert!(linux.seccomp().is_some());
}

#[test]
fn default_containers_have_no_more_devices_than_dockers() {
    let spec = default_container();
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!(
        linux.devices(),
        &None,
        "besides those that every OCI runtime makes"
    );
    let rules = linux
        .resources()
        .as_ref()
        .unwrap()
        .devices()
        .clone()
        .unwrap();
    let text = |number: Option<i64>| number.map_or("*".to_owned(), |number| number.to_string());
    let found: Vec<String> = rules
        .iter()
        .map(|rule| {
            let kind = match rule.typ() {
                Some(LinuxDeviceType::C) => "c",
                Some(LinuxDeviceType::B) => "b",
                _ => "a",
            };
            let verb = if rule.allow() { "allow" } else { "deny" };
            let access = rule.access().clone().unwrap_or_default();
            format!(
                "{verb} {kind} {}:{} {access}",
                text(rule.major()),
                text(rule.minor())
            )
        })
        .collect();
    // null, zero, full, random, urandom, tty, console, ptmx, and the container's own pseudo terminals.
    let expected = [
        "deny a *:* rwm",
        "allow c *:* m",
        "allow b *:* m",
        "allow c 1:3 rwm",
        "allow c 1:5 rwm",
        "allow c 1:7 rwm",
        "allow c 1:8 rwm",
        "allow c 1:9 rwm",
        "allow c 5:0 rwm",
        "allow c 5:1 rwm",
        "allow c 5:2 rwm",
        "allow c 136:* rwm",
    ];
    assert_eq!(found, expected);
}

#[test]
fn default_containers_see_no_more_of_the_machine_than_dockers() {
    let spec = default_container();
    let found: Vec<String> = spec
        .mounts()
        .iter()
        .flatten()
        .map(|mount| {
            let mut options = mount.options().clone().unwrap_or_default();
            options.sort();
            let kind = mount.typ().clone().unwrap_or_default();
            format!(
                "{} {kind} {}",
                mount.destination().display(),
                options.join(",")
            )
        })
        .collect();
    let expected = [
        "/proc proc nodev,noexec,nosuid",
        "/dev tmpfs mode=755,nosuid,size=65536k,strictatime",
        "/dev/pts devpts gid=5,mode=0620,newinstance,noexec,nosuid,ptmxmode=0666",
        "/sys sysfs nodev,noexec,nosuid,ro",
        "/sys/fs/cgroup cgroup nodev,noexec,nosuid,ro",
        "/dev/mqueue mqueue nodev,noexec,nosuid",
        "/dev/shm tmpfs mode=1777,nodev,noexec,nosuid,size=67108864",
    ];
    assert_eq!(found, expected);
}
