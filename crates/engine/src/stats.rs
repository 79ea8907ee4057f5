//! What a running container uses: read from its control group, and from `/proc` where the kernel has no controller.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cgroup::{Cgroup, value_of};
use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::Result;

/// Ticks of `/proc/stat` in a second; the kernel's user interface has 100 on every architecture we know.
const TICKS: u64 = 100;

/// One reading.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Processor time of the container, nanoseconds.
    pub cpu: Cpu,
    /// Memory, bytes.
    pub memory: Memory,
    /// Processes now.
    pub processes: u64,
    /// Limit of processes, 0 for none.
    pub processes_limit: u64,
    /// Block devices: (major, minor, operation, bytes, requests).
    pub io: Vec<Io>,
    /// Network interfaces; empty in the host's network.
    pub networks: BTreeMap<String, Interface>,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cpu {
    /// All, nanoseconds.
    pub total: u64,
    /// In programs, nanoseconds.
    pub user: u64,
    /// In the kernel, nanoseconds.
    pub kernel: u64,
    /// Of the whole machine, nanoseconds.
    pub machine: u64,
    /// Processors.
    pub online: u32,
    /// Periods of the quota.
    pub periods: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// How long it was held back, nanoseconds.
    pub throttled: u64,
}

/// Memory.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// Used.
    pub usage: u64,
    /// May be used: the limit, or the machine's memory.
    pub limit: u64,
    /// `memory.stat`.
    pub details: BTreeMap<String, u64>,
}

/// Traffic of one block device.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Io {
    /// Number of the driver.
    pub major: u64,
    /// Number of the device.
    pub minor: u64,
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

/// Traffic of one interface.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Interface {
    /// Bytes, packets, errors, dropped: received.
    pub received: [u64; 4],
    /// Bytes, packets, errors, dropped: sent.
    pub sent: [u64; 4],
}

impl Engine {
    /// Reads what a container uses; one that does not run uses nothing.
    ///
    /// # Errors
    /// When the reading fails as a whole.
    pub async fn sample(&self, container: &Arc<Container>) -> Result<Sample> {
        let (cgroup, pid) = {
            let data = container.data();
            let own_network = data.record.network_mode() != "host";
            let pid = data
                .running
                .as_ref()
                .map(|running| running.pid.as_raw_nonzero().get());
            (
                self.cgroup_of(&data.record),
                pid.map(|pid| (pid, own_network)),
            )
        };
        blocking(move || match pid {
            Some((pid, own_network)) => read(&cgroup, pid, own_network),
            None => Sample::default(),
        })
        .await
    }
}

fn read(cgroup: &Cgroup, pid: i32, own_network: bool) -> Sample {
    let machine_memory = machine_memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let mut cpu = cpu(&cgroup.read("cpu.stat"));
    cpu.machine = machine_time(&fs::read_to_string("/proc/stat").unwrap_or_default());
    cpu.online = std::thread::available_parallelism()
        .map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    let processes = cgroup.processes();
    let details = pairs(&cgroup.read("memory.stat"));
    let usage = cgroup
        .read("memory.current")
        .trim()
        .parse()
        .unwrap_or_else(|_| resident(&processes));
    let limit = cgroup
        .read("memory.max")
        .trim()
        .parse()
        .unwrap_or(machine_memory);
    let networks = if own_network {
        interfaces(&fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default())
    } else {
        BTreeMap::new()
    };
    Sample {
        at: Timestamp::now(),
        cpu,
        memory: Memory {
            usage,
            limit: limit.min(machine_memory),
            details,
        },
        processes: cgroup
            .read("pids.current")
            .trim()
            .parse()
            .unwrap_or(processes.len() as u64),
        processes_limit: cgroup.read("pids.max").trim().parse().unwrap_or(0),
        io: io(&cgroup.read("io.stat")),
        networks,
    }
}

fn cpu(stat: &str) -> Cpu {
    let nanoseconds = |key: &str| value_of(stat, key) * 1000;
    Cpu {
        total: nanoseconds("usage_usec"),
        user: nanoseconds("user_usec"),
        kernel: nanoseconds("system_usec"),
        periods: value_of(stat, "nr_periods"),
        throttled_periods: value_of(stat, "nr_throttled"),
        throttled: nanoseconds("throttled_usec"),
        ..Cpu::default()
    }
}

/// The first line of `/proc/stat`, without guests, who are counted as users already.
fn machine_time(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: u64 = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    ticks * (1_000_000_000 / TICKS)
}

fn machine_memory(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|word| word.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Resident pages of processes, for kernels without the memory controller.
fn resident(processes: &[i32]) -> u64 {
    let of = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    processes.iter().filter_map(of).sum::<u64>() * rustix::param::page_size() as u64
}

fn pairs(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect()
}

fn io(text: &str) -> Vec<Io> {
    text.lines()
        .filter_map(|line| {
            let (device, fields) = line.split_once(' ')?;
            let (major, minor) = device.split_once(':')?;
            let field = |name: &str| {
                fields
                    .split(' ')
                    .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                    .and_then(|value| value.parse().ok())
                    .unwrap_or(0)
            };
            Some(Io {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                read: field("rbytes"),
                written: field("wbytes"),
            })
        })
        .collect()
}

/// `/proc/PID/net/dev`, without the loopback.
fn interfaces(text: &str) -> BTreeMap<String, Interface> {
    text.lines()
        .filter_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            let name = name.trim();
            let numbers: Vec<u64> = numbers
                .split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect();
            let four = |at: usize| numbers.get(at..at + 4)?.try_into().ok();
            (name != "lo").then_some(())?;
            Some((
                name.to_owned(),
                Interface {
                    received: four(0)?,
                    sent: four(8)?,
                },
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_read() {
        let stat = "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 3\nnr_throttled 1\nthrottled_usec 7\n";
        let expected = Cpu {
            total: 1_500_000,
            user: 1_000_000,
            kernel: 500_000,
            periods: 3,
            throttled_periods: 1,
            throttled: 7000,
            ..Cpu::default()
        };
        assert_eq!(cpu(stat), expected);
        assert_eq!(
            machine_time("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n"),
            360_000_000
        );
        assert_eq!(
            machine_memory("MemTotal:       2048 kB\nMemFree: 1 kB\n"),
            2 << 20
        );
        assert_eq!(
            io("8:0 rbytes=10 wbytes=20 rios=1 wios=2\n"),
            [Io {
                major: 8,
                minor: 0,
                read: 10,
                written: 20
            }]
        );
        let dev = "Inter-| Receive\n face |bytes\n    lo: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        let expected = BTreeMap::from([(
            "eth0".to_owned(),
            Interface {
                received: [1, 2, 3, 4],
                sent: [5, 6, 7, 8],
            },
        )]);
        assert_eq!(interfaces(dev), expected);
    }
}
