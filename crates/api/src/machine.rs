//! Reading what the machine is from the kernel and `os-release`.

use std::fs;

use crate::render::system::Machine;

/// Where the operating system says what it is: in the running Coracle, then elsewhere.
const OS_RELEASE: [&str; 3] = [
    "/usr/share/ros/os-release",
    "/etc/os-release",
    "/usr/lib/os-release",
];

/// Reads everything anew: name and processors may change. Blocks for moments.
pub fn read() -> Machine {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let release = OS_RELEASE
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .unwrap_or_default();
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let system = release_field(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned());
    Machine {
        name: text(uname.nodename()),
        kernel: text(uname.release()),
        architecture: text(uname.machine()),
        system,
        system_version: release_field(&release, "VERSION_ID").unwrap_or_default(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        forwards: fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
            .is_ok_and(|value| value.trim() == "1"),
    }
}

/// How many descriptors this process has open.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// A field of `os-release` (systemd, `os-release(5)`), without its quotes.
fn release_field(text: &str, name: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// `MemTotal` of `/proc/meminfo`, bytes.
fn memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes: Option<u64> = line
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_understood() {
        let release = "NAME=Coracle\nPRETTY_NAME=\"Coracle v0.1.0\"\nVERSION_ID='v0.1.0'\n";
        assert_eq!(
            release_field(release, "PRETTY_NAME").as_deref(),
            Some("Coracle v0.1.0")
        );
        assert_eq!(
            release_field(release, "VERSION_ID").as_deref(),
            Some("v0.1.0")
        );
        assert_eq!(release_field(release, "NAME").as_deref(), Some("Coracle"));
        assert_eq!(release_field(release, "ID"), None);
        assert_eq!(memory("MemTotal:        1024 kB\nMemFree: 5 kB\n"), 1 << 20);
        assert_eq!(memory(""), 0);
    }
}
