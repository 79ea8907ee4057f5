//! `HostConfig`'s limits as files of a cgroup v2 directory (kernel: `admin-guide/cgroup-v2.rst`).

use bollard_stubs::models::{HostConfig, ThrottleDevice};

use crate::cgroup::Cgroups;
use crate::error::{Error, Result};

/// The default of `CpuPeriod`, microseconds.
const PERIOD: i64 = 100_000;
/// Least memory that Docker accepts as a limit.
const LEAST_MEMORY: i64 = 6 << 20;

/// Checks that limits make sense, with Docker's texts.
///
/// # Errors
/// The first thing that does not.
pub fn validate(config: &HostConfig) -> Result<()> {
    let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
    let memory = config.memory.unwrap_or(0);
    let swap = config.memory_swap.unwrap_or(0);
    if memory > 0 && memory < LEAST_MEMORY {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && swap > 0 {
        return invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    let reservation = config.memory_reservation.unwrap_or(0);
    if reservation > 0 && reservation < LEAST_MEMORY {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && reservation > memory {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    let nano = config.nano_cpus.unwrap_or(0);
    let quota = config.cpu_quota.unwrap_or(0);
    let period = config.cpu_period.unwrap_or(0);
    if nano != 0 && (period > 0 || quota > 0) {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.");
    }
    if nano < 0 {
        return invalid("Range of CPUs must not be negative");
    }
    if period != 0 && !(1_000..=1_000_000).contains(&period) {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if quota > 0 && quota < 1_000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    let weight = config.blkio_weight.unwrap_or(0);
    if weight != 0 && !(10..=1000).contains(&weight) {
        return invalid("Range of blkio weight is from 10 to 1000");
    }
    Ok(())
}

/// What the kernel cannot enforce here, in the words of Docker's warnings.
pub fn warnings(config: &HostConfig, cgroups: &Cgroups) -> Vec<String> {
    let set = |value: Option<i64>| value.is_some_and(|value| value != 0);
    let table = [
        (
            set(config.memory) && !cgroups.has("memory"),
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        ),
        (
            (set(config.nano_cpus) || set(config.cpu_quota) || set(config.cpu_shares))
                && !cgroups.has("cpu"),
            "Your kernel does not support CPU limits or the cgroup is not mounted. Limitation discarded.",
        ),
        (
            set(config.pids_limit) && !cgroups.has("pids"),
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
        ),
        (
            config
                .cpuset_cpus
                .as_ref()
                .is_some_and(|set| !set.is_empty())
                && !cgroups.has("cpuset"),
            "Your kernel does not support cpuset or the cgroup is not mounted. CPUset discarded.",
        ),
    ];
    table
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, text)| text.to_owned())
        .collect()
}

/// The files to write and their values. `device` gives the `major:minor` of a block device's path.
///
/// # Errors
/// When `device` fails.
pub fn settings(
    config: &HostConfig,
    device: impl Fn(&str) -> Result<String>,
) -> Result<Vec<(String, String)>> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut set = |file: &str, value: String| files.push((file.to_owned(), value));
    let positive = |value: Option<i64>| value.filter(|value| *value > 0);
    if let Some(memory) = positive(config.memory) {
        set("memory.max", memory.to_string());
        match config.memory_swap.unwrap_or(0) {
            0 => {}
            -1 => set("memory.swap.max", "max".into()),
            // Docker counts memory and swap together, the kernel swap alone.
            both => set("memory.swap.max", (both - memory).max(0).to_string()),
        }
    }
    if let Some(reservation) = positive(config.memory_reservation) {
        set("memory.low", reservation.to_string());
    }
    if let Some(shares) = positive(config.cpu_shares) {
        set("cpu.weight", cpu_weight(shares).to_string());
    }
    let period = positive(config.cpu_period).unwrap_or(PERIOD);
    if let Some(nano) = positive(config.nano_cpus) {
        // Billionths of a processor.
        set(
            "cpu.max",
            format!("{} {PERIOD}", nano * PERIOD / 1_000_000_000),
        );
    } else if let Some(quota) = positive(config.cpu_quota) {
        set("cpu.max", format!("{quota} {period}"));
    } else if config.cpu_quota == Some(-1) || positive(config.cpu_period).is_some() {
        set("cpu.max", format!("max {period}"));
    }
    for (file, value) in [
        ("cpuset.cpus", &config.cpuset_cpus),
        ("cpuset.mems", &config.cpuset_mems),
    ] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            set(file, value.clone());
        }
    }
    match config.pids_limit {
        Some(limit) if limit > 0 => set("pids.max", limit.to_string()),
        Some(-1) => set("pids.max", "max".into()),
        _ => {}
    }
    if let Some(weight) = config.blkio_weight.filter(|weight| *weight > 0) {
        // 10..1000 of cgroup v1 to 1..10000.
        set(
            "io.weight",
            format!("default {}", 1 + (u64::from(weight) - 10) * 9999 / 990),
        );
    }
    let throttles: [(&str, &Option<Vec<ThrottleDevice>>); 4] = [
        ("rbps", &config.blkio_device_read_bps),
        ("wbps", &config.blkio_device_write_bps),
        ("riops", &config.blkio_device_read_iops),
        ("wiops", &config.blkio_device_write_iops),
    ];
    for (key, devices) in throttles {
        for throttle in devices.iter().flatten() {
            let number = device(throttle.path.as_deref().unwrap_or_default())?;
            set(
                "io.max",
                format!("{number} {key}={}", throttle.rate.unwrap_or(0)),
            );
        }
    }
    Ok(files)
}

/// 2..262144 of cgroup v1 to 1..10000.
fn cpu_weight(shares: i64) -> i64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(config: HostConfig) -> Vec<(String, String)> {
        settings(&config, |path| Ok(format!("<{path}>"))).unwrap()
    }

    #[test]
    fn limits_become_files() {
        let pairs = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(HostConfig::default()), []);
        let config = HostConfig {
            memory: Some(64 << 20),
            memory_swap: Some(96 << 20),
            memory_reservation: Some(32 << 20),
            cpu_shares: Some(1024),
            nano_cpus: Some(1_500_000_000),
            cpuset_cpus: Some("0-1".into()),
            pids_limit: Some(100),
            blkio_weight: Some(500),
            blkio_device_read_bps: Some(vec![ThrottleDevice {
                path: Some("/dev/vda".into()),
                rate: Some(1000),
            }]),
            ..HostConfig::default()
        };
        assert_eq!(
            of(config),
            pairs(&[
                ("memory.max", "67108864"),
                ("memory.swap.max", "33554432"),
                ("memory.low", "33554432"),
                ("cpu.weight", "39"),
                ("cpu.max", "150000 100000"),
                ("cpuset.cpus", "0-1"),
                ("pids.max", "100"),
                ("io.weight", "default 4950"),
                ("io.max", "</dev/vda> rbps=1000"),
            ])
        );
        let quota = HostConfig {
            cpu_quota: Some(50_000),
            cpu_period: Some(200_000),
            ..HostConfig::default()
        };
        assert_eq!(of(quota), pairs(&[("cpu.max", "50000 200000")]));
        let unlimited = HostConfig {
            memory: Some(64 << 20),
            memory_swap: Some(-1),
            pids_limit: Some(-1),
            ..HostConfig::default()
        };
        assert_eq!(
            of(unlimited),
            pairs(&[
                ("memory.max", "67108864"),
                ("memory.swap.max", "max"),
                ("pids.max", "max")
            ])
        );
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        for (config, text) in [
            (
                HostConfig {
                    memory: Some(1),
                    ..Default::default()
                },
                "Minimum memory limit allowed is 6MB",
            ),
            (
                HostConfig {
                    memory_swap: Some(1),
                    ..Default::default()
                },
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                HostConfig {
                    nano_cpus: Some(1),
                    cpu_quota: Some(5000),
                    ..Default::default()
                },
                "Conflicting options: Nano CPUs and CPU Period cannot both be set.",
            ),
            (
                HostConfig {
                    blkio_weight: Some(5),
                    ..Default::default()
                },
                "Range of blkio weight is from 10 to 1000",
            ),
        ] {
            assert_eq!(validate(&config).unwrap_err().to_string(), text);
        }
        validate(&HostConfig::default()).unwrap();
    }
}
