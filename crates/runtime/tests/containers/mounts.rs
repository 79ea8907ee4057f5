//! What containers mount, and where else it appears.

use std::fs;
use std::path::{Path, PathBuf};

use coracle_runtime::capabilities;
use oci_spec::runtime::Capability;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use serde_json::{Value, json};

use crate::bench::Bench;

/// A shared mount of the host, and a container that may mount.
fn with_shared_directory(script: &str) -> (Bench, PathBuf) {
    let mut bench = Bench::new(script);
    let host = bench.path("host");
    fs::create_dir(&host).unwrap();
    mount("tmpfs", &host, "tmpfs", MountFlags::empty(), None).unwrap();
    mount_change(&host, MountPropagationFlags::SHARED).unwrap();
    let mut caps = capabilities::default_set();
    caps.insert(Capability::SysAdmin);
    bench.process()["capabilities"] = json!(capabilities::process_sets(&caps, 0));
    bench.config["linux"]["seccomp"] = Value::Null;
    (bench, host)
}

fn bind(bench: &mut Bench, destination: &str, source: &Path, propagation: &str) {
    bench.config["mounts"].as_array_mut().unwrap().push(json!({
        "destination": destination, "source": source, "type": "bind", "options": ["rbind", propagation],
    }));
}

pub fn shared_reaches_the_host() {
    let (mut bench, host) =
        with_shared_directory("mount -t tmpfs x /mnt/in && echo seen > /mnt/in/file");
    fs::create_dir(host.join("in")).unwrap();
    bind(&mut bench, "/mnt", &host, "rshared");
    let ended = bench.run().unwrap();
    let seen = fs::read_to_string(host.join("in/file"));
    let _ = unmount(host.join("in"), UnmountFlags::DETACH);
    let _ = unmount(&host, UnmountFlags::DETACH);
    assert_eq!(
        (ended.output.as_str(), seen.unwrap().as_str()),
        ("", "seen\n")
    );
}

pub fn others_stay_inside() {
    let (mut bench, host) = with_shared_directory(
        "mkdir /a/new && busybox mount -t tmpfs x /a/new; \
         while read -r _ _ _ _ point _ field _; do \
         case $point in /a*|/b*|/c*) echo $point ${field%%:*};; esac; done < /proc/self/mountinfo",
    );
    for name in ["a", "a/in", "b", "c", "d"] {
        fs::create_dir(host.join(name)).unwrap();
    }
    fs::write(host.join("file"), "").unwrap();
    for (destination, source, propagation) in [
        ("/a", "a", "rprivate"),
        ("/b", "b", "rslave"),
        ("/c", "c", "rshared"),
        ("/c-file", "file", "shared"),
        ("/a/in", "d", "private"),
    ] {
        bind(&mut bench, destination, &host.join(source), propagation);
    }
    let ended = bench.run().unwrap();
    let place = format!("{}/", host.display());
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let outside: Vec<&str> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4)?.strip_prefix(&place))
        .collect();
    unmount(&host, UnmountFlags::DETACH).unwrap();
    assert_eq!(
        ended.output,
        "/a -\n/b master\n/c shared\n/c-file shared\n/a/in -\n/a/new -\n"
    );
    assert_eq!(outside, Vec::<&str>::new());
}
