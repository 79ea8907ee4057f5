//! Whether limits make sense and can be enforced here, in Docker's words.

use std::collections::BTreeSet;
use std::fs;

use bollard_stubs::models::HostConfig;

use crate::cgroup::Cgroups;
use crate::error::{Error, Result};

/// Least memory that Docker accepts as a limit.
const LEAST_MEMORY: i64 = 6 << 20;

/// What the kernel can enforce here.
#[derive(Clone, Debug, Default)]
pub struct Support {
    /// Controller `memory`.
    pub memory: bool,
    /// Controller `cpu`.
    pub cpu: bool,
    /// Controller `cpuset`.
    pub cpuset: bool,
    /// Controller `io`.
    pub io: bool,
    /// Controller `pids`.
    pub pids: bool,
    /// Processors that are online, as the kernel lists them.
    pub cpus: String,
    /// Memory nodes that are online, as the kernel lists them.
    pub nodes: String,
}

impl Support {
    /// What this machine has.
    pub fn of(cgroups: &Cgroups) -> Self {
        let online = |kind: &str| {
            let path = format!("/sys/devices/system/{kind}/online");
            let text = fs::read_to_string(path).unwrap_or_default();
            match text.trim() {
                "" => "0".to_owned(),
                text => text.to_owned(),
            }
        };
        Self {
            memory: cgroups.has("memory"),
            cpu: cgroups.has("cpu"),
            cpuset: cgroups.has("cpuset"),
            io: cgroups.has("io"),
            pids: cgroups.has("pids"),
            cpus: online("cpu"),
            nodes: online("node"),
        }
    }
}

/// Checks the limits, and takes away those that cannot be enforced; gives a warning for each.
///
/// # Errors
/// The first limit that makes no sense.
pub fn adjust(config: &mut HostConfig, support: &Support) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    memory(config, support, &mut warnings)?;
    processors(config, support, &mut warnings)?;
    sets(config, support, &mut warnings)?;
    input_output(config, support, &mut warnings)?;
    if config.pids_limit.unwrap_or(0) > 0 && !support.pids {
        warnings.push("Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.".into());
        config.pids_limit = None;
    }
    if config.shm_size.unwrap_or(0) < 0 {
        return invalid("SHM size can not be less than 0");
    }
    Ok(warnings)
}

fn invalid<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Invalid(text.into()))
}

fn memory(config: &mut HostConfig, support: &Support, warnings: &mut Vec<String>) -> Result<()> {
    let memory = config.memory.unwrap_or(0);
    if memory > 0 && memory < LEAST_MEMORY {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && !support.memory {
        warnings.push("Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.".into());
        (config.memory, config.memory_swap) = (Some(0), Some(-1));
    }
    let memory = config.memory.unwrap_or(0);
    let swap = config.memory_swap.unwrap_or(0);
    if memory > 0 && swap > 0 && swap < memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && swap > 0 {
        return invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    // -1 is how clients say "not given". cgroup v2 knows neither of the two.
    if config
        .memory_swappiness
        .take()
        .is_some_and(|value| value != -1)
    {
        warnings.push("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.".into());
    }
    if config.oom_kill_disable.take() == Some(true) {
        warnings
            .push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
    }
    let reservation = config.memory_reservation.unwrap_or(0);
    if reservation > 0 && !support.memory {
        warnings.push("Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.".into());
        config.memory_reservation = Some(0);
        return Ok(());
    }
    if reservation > 0 && reservation < LEAST_MEMORY {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && reservation > memory {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    Ok(())
}

fn processors(
    config: &mut HostConfig,
    support: &Support,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let nano = config.nano_cpus.unwrap_or(0);
    let (quota, period) = (
        config.cpu_quota.unwrap_or(0),
        config.cpu_period.unwrap_or(0),
    );
    if nano > 0 && period > 0 {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if nano > 0 && quota > 0 {
        return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    if nano > 0 && !support.cpu {
        return invalid(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
        );
    }
    let count = parse_list(&support.cpus).map_or(1, |cpus| cpus.len().max(1));
    if nano < 0
        || nano
            > i64::try_from(count)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000_000)
    {
        return invalid(format!(
            "range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        ));
    }
    if config.cpu_shares.unwrap_or(0) > 0 && !support.cpu {
        warnings.push("Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.".into());
        config.cpu_shares = Some(0);
    }
    if (period != 0 || quota != 0) && !support.cpu {
        warnings.push(
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.".into(),
        );
        (config.cpu_period, config.cpu_quota) = (Some(0), Some(0));
        return Ok(());
    }
    if period != 0 && !(1_000..=1_000_000).contains(&period) {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if quota > 0 && quota < 1_000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if config.cpu_percent.unwrap_or(0) > 0 {
        warnings.push("linux does not support CPU percent. Percent discarded.".into());
        config.cpu_percent = Some(0);
    }
    // cgroup v2 has no limits of this kind.
    let realtime = [config.cpu_realtime_period, config.cpu_realtime_runtime];
    if realtime.iter().any(|value| value.unwrap_or(0) != 0) {
        warnings.push("Your kernel does not support CPU real-time scheduler limits. CPU real-time period/runtime discarded.".into());
        (config.cpu_realtime_period, config.cpu_realtime_runtime) = (Some(0), Some(0));
    }
    Ok(())
}

fn sets(config: &mut HostConfig, support: &Support, warnings: &mut Vec<String>) -> Result<()> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (cpus, nodes) = (text(&config.cpuset_cpus), text(&config.cpuset_mems));
    for (asked, available, short, long) in [
        (&cpus, &support.cpus, "cpus", "CPUs"),
        (&nodes, &support.nodes, "mems", "memory nodes"),
    ] {
        let wanted = parse_list(asked).ok_or_else(|| {
            Error::Invalid(format!(
                "Invalid value {asked} for cpuset {short}: invalid format"
            ))
        })?;
        // Not known where the kernel does not tell.
        let known = parse_list(available).unwrap_or_default();
        if support.cpuset && !wanted.is_subset(&known) {
            return invalid(format!(
                "Requested {long} are not available - requested {asked}, available: {available}"
            ));
        }
    }
    let asked = !cpus.is_empty() || !nodes.is_empty();
    if asked && !support.cpuset {
        warnings.push(
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded."
                .into(),
        );
        (config.cpuset_cpus, config.cpuset_mems) = (None, None);
    }
    Ok(())
}

/// `0-2,7` as numbers (kernel: "List format" of cpusets).
fn parse_list(text: &str) -> Option<BTreeSet<u32>> {
    let mut all = BTreeSet::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // More than any kernel has.
        if first > last || last > 1 << 16 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

fn input_output(
    config: &mut HostConfig,
    support: &Support,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let weights = config.blkio_weight_device.iter().flatten();
    let mut weights = weights.map(|device| device.weight.unwrap_or(0)).chain(
        config
            .blkio_weight
            .map(usize::from)
            .filter(|weight| *weight != 0),
    );
    if weights.any(|weight| !(10..=1000).contains(&weight)) {
        return invalid("Range of blkio weight is from 10 to 1000");
    }
    if config.io_maximum_bandwidth.unwrap_or(0) != 0 || config.io_maximum_iops.unwrap_or(0) != 0 {
        return invalid(
            "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps",
        );
    }
    if support.io {
        return Ok(());
    }
    if config.blkio_weight.unwrap_or(0) > 0 {
        warnings.push("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.".into());
        config.blkio_weight = Some(0);
    }
    if config
        .blkio_weight_device
        .take()
        .is_some_and(|list| !list.is_empty())
    {
        warnings.push("Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.".into());
    }
    for (list, what, field) in [
        (
            &mut config.blkio_device_read_bps,
            "BPS Block I/O read",
            "Block I/O BPS read",
        ),
        (
            &mut config.blkio_device_write_bps,
            "BPS Block I/O write",
            "Block I/O BPS write",
        ),
        (
            &mut config.blkio_device_read_iops,
            "IOPS Block read",
            "Block I/O IOPS read",
        ),
        (
            &mut config.blkio_device_write_iops,
            "IOPS Block write",
            "Block I/O IOPS write",
        ),
    ] {
        if list.take().is_some_and(|list| !list.is_empty()) {
            warnings.push(format!(
                "Your kernel does not support {what} limit or the cgroup is not mounted. {field} limit discarded."
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn all() -> Support {
        Support {
            memory: true,
            cpu: true,
            cpuset: true,
            io: true,
            pids: true,
            cpus: "0-1".into(),
            nodes: "0".into(),
        }
    }

    fn adjusted(config: Value, support: &Support) -> Result<(Value, Vec<String>), String> {
        let mut config: HostConfig = serde_json::from_value(config).unwrap();
        let warnings = adjust(&mut config, support).map_err(|error| error.to_string())?;
        Ok((serde_json::to_value(config).unwrap(), warnings))
    }

    #[test]
    fn limits_that_make_sense_are_kept() {
        let config = json!({
            "Memory": 64 << 20, "MemorySwap": 96 << 20, "MemoryReservation": 32 << 20, "CpuShares": 512,
            "NanoCpus": 2_000_000_000_i64, "CpusetCpus": "0,1", "CpusetMems": "0", "PidsLimit": 5, "BlkioWeight": 10,
            "BlkioWeightDevice": [{"Path": "/dev/vda", "Weight": 1000}],
            "BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1}],
        });
        assert_eq!(adjusted(config.clone(), &all()), Ok((config, vec![])));
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        for (config, text) in [
            (json!({"Memory": 1}), "Minimum memory limit allowed is 6MB"),
            (
                json!({"Memory": 64 << 20, "MemorySwap": 1}),
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                json!({"MemorySwap": 1}),
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                json!({"MemoryReservation": 1}),
                "Minimum memory reservation allowed is 6MB",
            ),
            (
                json!({"Memory": 8 << 20, "MemoryReservation": 9 << 20}),
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ),
            (
                json!({"NanoCpus": 1, "CpuPeriod": 5000}),
                "Conflicting options: Nano CPUs and CPU Period cannot both be set",
            ),
            (
                json!({"NanoCpus": 1, "CpuQuota": 5000}),
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            ),
            (
                json!({"NanoCpus": 3_000_000_000_i64}),
                "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                json!({"CpuPeriod": 1}),
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            ),
            (
                json!({"CpuQuota": 1}),
                "CPU cfs quota can not be less than 1ms (i.e. 1000)",
            ),
            (
                json!({"CpusetCpus": "1-2"}),
                "Requested CPUs are not available - requested 1-2, available: 0-1",
            ),
            (
                json!({"CpusetCpus": "2-1"}),
                "Invalid value 2-1 for cpuset cpus: invalid format",
            ),
            (
                json!({"CpusetMems": "1"}),
                "Requested memory nodes are not available - requested 1, available: 0",
            ),
            (
                json!({"BlkioWeight": 5}),
                "Range of blkio weight is from 10 to 1000",
            ),
            (
                json!({"BlkioWeightDevice": [{"Path": "/dev/vda", "Weight": 5}]}),
                "Range of blkio weight is from 10 to 1000",
            ),
            (
                json!({"IOMaximumIOps": 5}),
                "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps",
            ),
            (json!({"ShmSize": -1}), "SHM size can not be less than 0"),
        ] {
            assert_eq!(
                adjusted(config.clone(), &all()),
                Err(text.to_owned()),
                "{config}"
            );
        }
    }

    #[test]
    fn what_cgroup_v2_does_not_know_is_discarded_with_a_warning() {
        for (config, left, warning) in [
            (
                json!({"MemorySwappiness": 60}),
                json!({}),
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
            ),
            (
                json!({"OomKillDisable": true}),
                json!({}),
                "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
            ),
            (
                json!({"CpuPercent": 5}),
                json!({"CpuPercent": 0}),
                "linux does not support CPU percent. Percent discarded.",
            ),
            (
                json!({"CpuRealtimeRuntime": 5}),
                json!({"CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0}),
                "Your kernel does not support CPU real-time scheduler limits. CPU real-time period/runtime discarded.",
            ),
        ] {
            assert_eq!(
                adjusted(config, &all()),
                Ok((left, vec![warning.to_owned()]))
            );
        }
        let silent = json!({"MemorySwappiness": -1, "OomKillDisable": false});
        assert_eq!(adjusted(silent, &all()), Ok((json!({}), vec![])));
    }

    #[test]
    fn limits_without_a_controller_are_discarded_with_a_warning_each() {
        let config = json!({
            "Memory": 64 << 20, "MemoryReservation": 32 << 20, "CpuShares": 512, "CpuQuota": 5000, "CpusetCpus": "0",
            "PidsLimit": 5, "BlkioWeight": 10, "BlkioWeightDevice": [{"Path": "/dev/vda", "Weight": 100}],
            "BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1}], "BlkioDeviceWriteIOps": [{"Path": "/dev/vda", "Rate": 1}],
        });
        let (left, warnings) = adjusted(config, &Support::default()).unwrap();
        assert_eq!(
            left,
            json!({
                "Memory": 0, "MemorySwap": -1, "MemoryReservation": 0, "CpuShares": 0, "CpuQuota": 0, "CpuPeriod": 0,
                "BlkioWeight": 0
            })
        );
        let last: Vec<_> = warnings
            .iter()
            .map(|warning| warning.rsplit_once(". ").unwrap().1)
            .collect();
        assert_eq!(
            last,
            [
                "Limitation discarded.",
                "Limitation discarded.",
                "Shares discarded.",
                "CPU period/quota discarded.",
                "Cpuset discarded.",
                "Weight discarded.",
                "Weight-device discarded.",
                "Block I/O BPS read limit discarded.",
                "Block I/O IOPS write limit discarded.",
                "PIDs limit discarded.",
            ]
        );
        assert_eq!(
            adjusted(json!({"NanoCpus": 1}), &Support::default()),
            Err("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted".into())
        );
    }
}
