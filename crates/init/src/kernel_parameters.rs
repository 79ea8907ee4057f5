//! Kernel parameters and limits (inventory B.7, A3-020, A3-021; kernel: Documentation/admin-guide/sysctl).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::Error;

/// What Coracle sets, besides [`kept_free`]: upstream's `vm.min_free_kbytes` of 64 MiB (B7-010) is a quarter of a small machine.
const DEFAULTS: &[(&str, &str)] = &[
    ("fs.file-max", "1000000000"),
    ("fs.inotify.max_user_instances", "1024"),
    ("fs.inotify.max_user_watches", "1048576"),
    ("net.core.somaxconn", "4096"),
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.tcp_retries2", "5"),
    ("vm.dirty_background_ratio", "5"),
    ("vm.dirty_expire_centisecs", "500"),
    ("vm.dirty_ratio", "15"),
    ("vm.dirty_writeback_centisecs", "100"),
    ("vm.max_map_count", "262144"),
    ("vm.overcommit_memory", "1"),
    ("vm.swappiness", "0"),
];

/// KiB of memory; what the kernel keeps free for huge pages does not matter on larger machines.
const SMALL: u64 = 2 << 20;

/// `vm.min_free_kbytes` of a small machine with `total` KiB: the kernel's own rule (mm/page_alloc.c), 4 MiB of 1 GiB. For huge
/// pages it then raises that to 50 MiB (mm/khugepaged.c), which neither files nor programs can have: `available` of free(1)
/// was 110 MiB less.
fn kept_free(total: u64) -> Option<u64> {
    (total < SMALL).then(|| (total * 16).isqrt())
}

/// Files that one process may have open, inherited by all.
const OPEN_FILES: u64 = 1_000_000;

/// Sets the defaults and what the configuration adds or changes. Returns what was refused, by name.
#[must_use]
pub fn apply(configured: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems = Vec::new();
    let memory = rustix::system::sysinfo();
    let total = memory.totalram * u64::from(memory.mem_unit) / 1024;
    for (name, value) in merged(configured, total) {
        if let Err(error) = set(&name, &value) {
            // A default that this kernel does not have is no news.
            if configured.contains_key(&name) {
                problems.push(format!("rancher.sysctl: {name} = {value}: {error}"));
            }
        }
    }
    let limit = Rlimit {
        current: Some(OPEN_FILES),
        maximum: Some(OPEN_FILES),
    };
    if let Err(errno) = setrlimit(Resource::Nofile, limit) {
        problems.push(format!("cannot allow {OPEN_FILES} open files: {errno}"));
    }
    problems
}

/// Makes `binary` the program that the kernel calls when it wants a module, in its role `modprobe` (kernel:
/// Documentation/admin-guide/sysctl/kernel.rst).
///
/// # Errors
/// When the link to it cannot be made, or the kernel refuses.
pub fn call_us_for_modules(binary: &str) -> Result<(), Error> {
    let link = Path::new("/run/coracle/modprobe");
    fs::create_dir_all("/run/coracle").map_err(Error::io("make the directory of", link))?;
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("replace", link)(error));
        }
        _ => symlink(binary, link).map_err(Error::io("make", link))?,
    }
    let parameter = Path::new("/proc/sys/kernel/modprobe");
    fs::write(parameter, link.as_os_str().as_encoded_bytes()).map_err(Error::io("set", parameter))
}

fn merged(configured: &BTreeMap<String, String>, total: u64) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = DEFAULTS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    all.extend(kept_free(total).map(|kib| ("vm.min_free_kbytes".to_owned(), kib.to_string())));
    all.extend(configured.clone());
    all
}

fn set(name: &str, value: &str) -> Result<(), Error> {
    let path = path_of(name);
    fs::write(&path, value).map_err(Error::io("set", &path))
}

/// As sysctl(8): dots separate, unless a slash comes first; then dots are part of names (`net/ipv4/conf/eth0.100/forwarding`).
fn path_of(name: &str) -> PathBuf {
    let first = name.find(['.', '/']).map(|at| &name[at..=at]);
    let path = match first {
        Some("/") => name.to_owned(),
        // The other way round within a dotted name: a slash stands for a dot.
        _ => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
    };
    Path::new("/proc/sys").join(path.trim_start_matches(['/', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_as_sysctl_does() {
        for (name, path) in [
            ("vm.swappiness", "/proc/sys/vm/swappiness"),
            (
                "net/ipv4/conf/eth0.100/forwarding",
                "/proc/sys/net/ipv4/conf/eth0.100/forwarding",
            ),
            (
                "net.ipv4.conf.eth0/100.forwarding",
                "/proc/sys/net/ipv4/conf/eth0.100/forwarding",
            ),
        ] {
            assert_eq!(path_of(name), Path::new(path));
        }
    }

    #[test]
    fn configuration_wins_and_small_machines_keep_their_memory() {
        let configured = [("vm.swappiness", "60"), ("kernel.domainname", "x")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into();
        let all = merged(&configured, 4 << 20);
        assert_eq!(
            (
                all["vm.swappiness"].as_str(),
                all["kernel.domainname"].as_str()
            ),
            ("60", "x")
        );
        assert_eq!(all["net.ipv4.ip_forward"], "1");
        assert!(!all.contains_key("vm.min_free_kbytes"));
        assert_eq!(merged(&configured, 1 << 20)["vm.min_free_kbytes"], "4096");
        let own = [("vm.min_free_kbytes".to_owned(), "9".to_owned())].into();
        assert_eq!(merged(&own, 1 << 20)["vm.min_free_kbytes"], "9");
    }
}
