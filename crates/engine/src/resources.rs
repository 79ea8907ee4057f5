//! `HostConfig`'s limits as files of a cgroup v2 directory (kernel: `admin-guide/cgroup-v2.rst`).

mod limits;

use bollard_stubs::models::{HostConfig, ThrottleDevice};

use crate::error::Result;

pub use limits::{Support, adjust};

/// The default of `CpuPeriod`, microseconds.
const PERIOD: i64 = 100_000;
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
        let weight = io_weight(weight.into());
        set("io.weight", format!("default {weight}"));
    }
    for weighted in config.blkio_weight_device.iter().flatten() {
        let number = device(weighted.path.as_deref().unwrap_or_default())?;
        let weight = io_weight(weighted.weight.unwrap_or(0) as u64);
        set("io.weight", format!("{number} {weight}"));
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

/// 10..1000 of cgroup v1 to 1..10000.
fn io_weight(weight: u64) -> u64 {
    1 + weight.clamp(10, 1000).saturating_sub(10) * 9999 / 990
}

/// 2..262144 of cgroup v1 to 1..10000.
fn cpu_weight(shares: i64) -> i64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::ResourcesBlkioWeightDevice;

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
            blkio_weight_device: Some(vec![ResourcesBlkioWeightDevice {
                path: Some("/dev/vdb".into()),
                weight: Some(1000),
            }]),
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
                ("io.weight", "</dev/vdb> 10000"),
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
}
