//! Which system calls containers may make.

use coracle_runtime::{capabilities, seccomp};
use oci_spec::runtime::Capability;
use serde_json::{Value, json};

use crate::bench::{Bench, Ended, run};

/// Prints the error number of system calls, by number.
pub fn attempt(numbers: &[u32]) -> String {
    let list = numbers
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(",");
    format!(
        "/usr/bin/perl -e 'for (split /,/, \"{list}\") {{ $! = 0; syscall($_+0, -1, 0, 0, 0, 0); print \"$_ \", $!+0, \"\\n\" }}'"
    )
}

pub const KEYCTL: u32 = 250;
const UNSHARE: u32 = 272;
const SETNS: u32 = 308;
const BPF: u32 = 321;
const IO_URING_SETUP: u32 = 425;
pub const CLONE3: u32 = 435;
const FCHMODAT2: u32 = 452;
const NEVER_ASSIGNED: u32 = 999;

pub fn filtered() {
    let ended = run(&attempt(&[
        KEYCTL,
        UNSHARE,
        SETNS,
        BPF,
        IO_URING_SETUP,
        CLONE3,
        NEVER_ASSIGNED,
    ]));
    assert_eq!(
        ended.output,
        "250 1\n272 1\n308 1\n321 1\n425 1\n435 38\n999 38\n"
    );
    // A process of its own is allowed, but not with new namespaces.
    let ended = run(
        "/usr/bin/perl -e '$| = 1; for (0x10000000, 0x40000000, 0) { $! = 0; my $pid = syscall(56, $_ + 17, 0, 0, 0, 0); \
         exit if $pid == 0; print $!+0, \"\\n\" }'",
    );
    assert_eq!(ended.output, "1\n1\n0\n");
    // Allowed, or newer than the libseccomp that was built in: never EPERM.
    let newer = run(&attempt(&[FCHMODAT2])).output;
    assert!(
        ["452 38\n", "452 9\n", "452 14\n"].contains(&newer.as_str()),
        "{newer}"
    );
    let ended = run("unshare -u true; mount -t tmpfs x /tmp; echo $?");
    assert_eq!(
        ended.output,
        "unshare: unshare(0x4000000): Operation not permitted\nmount: permission denied (are you root?)\n1\n"
    );
}

pub fn opened() {
    let mut bench = Bench::new("mount -t tmpfs x /tmp && unshare -u cat /proc/sys/kernel/hostname");
    let mut caps = capabilities::default_set();
    caps.insert(Capability::SysAdmin);
    bench.process()["capabilities"] = json!(capabilities::process_sets(&caps, 0));
    bench.config["linux"]["seccomp"] = json!(seccomp::default_profile(&caps));
    assert_eq!(
        bench.run().unwrap(),
        Ended {
            code: 0,
            output: "box\n".into()
        }
    );
    // Without a profile there is no filter.
    let mut bench = Bench::new("grep ^Seccomp: /proc/self/status");
    bench.config["linux"]["seccomp"] = Value::Null;
    assert_eq!(bench.run().unwrap().output, "Seccomp:\t0\n");
}
