//! `docker update`: limits and the restart policy of a container.

use std::sync::Arc;

use bollard_stubs::models::{ContainerUpdateBody, HostConfig};

use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::prepare::device_number;
use crate::resources::{self, Support};
use crate::restart::Policy;

impl Engine {
    /// Changes limits and the restart policy. Gives warnings.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn update(
        self: &Arc<Self>,
        reference: &str,
        change: &ContainerUpdateBody,
    ) -> Result<Vec<String>> {
        let container = self.find(reference)?;
        let _guard = container.operation.lock().await;
        let (mut updated, running) = {
            let data = container.data();
            if data.removing {
                return Err(Error::Conflict(format!(
                    "Container {reference} is marked for removal and cannot be \"update\"."
                )));
            }
            let policy = Policy::parse(change.restart_policy.as_ref())?;
            if policy != Policy::No && data.record.host_config.auto_remove.unwrap_or(false) {
                return Err(Error::Invalid(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container".into(),
                ));
            }
            let host = &data.record.host_config;
            check(host, change).map_err(|error| {
                Error::Conflict(format!(
                    "Cannot update container {}: {error}",
                    container.id()
                ))
            })?;
            (merged(host, change), data.running.is_some())
        };
        let warnings = resources::adjust(&mut updated, &Support::of(&self.cgroups))?;
        if running {
            let cgroup = self.cgroup_of(&container.data().record);
            cgroup
                .apply(&resources::settings(&updated, device_number)?)
                .map_err(|error| {
                    Error::Internal(format!(
                        "Cannot update container {}: {error}",
                        container.id()
                    ))
                })?;
        }
        container.data().record.host_config = updated;
        let target = Arc::clone(&container);
        blocking(move || target.save_record()).await??;
        self.container_event(&container, "update", &[]);
        Ok(warnings)
    }
}

/// What the container has and what is to be changed must fit together.
fn check(host: &HostConfig, change: &ContainerUpdateBody) -> Result<()> {
    let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
    let set = |value: Option<i64>| value.unwrap_or(0) > 0;
    if set(host.nano_cpus) && set(change.cpu_period) {
        return invalid(
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        );
    }
    if set(host.nano_cpus) && set(change.cpu_quota) {
        return invalid(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    if set(change.nano_cpus) && set(host.cpu_quota) {
        return invalid(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
        );
    }
    if set(change.nano_cpus) && set(host.cpu_period) {
        return invalid(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        );
    }
    let swap = host.memory_swap.unwrap_or(0);
    if change.memory.unwrap_or(0) > swap && swap > 0 && change.memory_swap.unwrap_or(0) == 0 {
        return invalid(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    Ok(())
}

/// What is given replaces what is there; zero is "not given", as in Docker.
fn merged(host: &HostConfig, change: &ContainerUpdateBody) -> HostConfig {
    let mut host = host.clone();
    let number = |mine: &mut Option<i64>, theirs: Option<i64>| {
        if theirs.is_some_and(|value| value != 0) {
            *mine = theirs;
        }
    };
    let text = |mine: &mut Option<String>, theirs: &Option<String>| {
        if theirs.as_deref().is_some_and(|value| !value.is_empty()) {
            mine.clone_from(theirs);
        }
    };
    number(&mut host.memory, change.memory);
    number(&mut host.memory_swap, change.memory_swap);
    number(&mut host.memory_reservation, change.memory_reservation);
    number(&mut host.cpu_shares, change.cpu_shares);
    number(&mut host.cpu_period, change.cpu_period);
    number(&mut host.cpu_quota, change.cpu_quota);
    number(&mut host.nano_cpus, change.nano_cpus);
    number(&mut host.pids_limit, change.pids_limit);
    text(&mut host.cpuset_cpus, &change.cpuset_cpus);
    text(&mut host.cpuset_mems, &change.cpuset_mems);
    if change.blkio_weight.is_some_and(|weight| weight != 0) {
        host.blkio_weight = change.blkio_weight;
    }
    macro_rules! lists {
        ($($field:ident)*) => { $(
            if change.$field.as_ref().is_some_and(|list| !list.is_empty()) {
                host.$field.clone_from(&change.$field);
            }
        )* };
    }
    lists!(blkio_weight_device blkio_device_read_bps blkio_device_write_bps blkio_device_read_iops blkio_device_write_iops);
    if let Some(policy) = change.restart_policy.as_ref().filter(|policy| {
        policy
            .name
            .is_some_and(|name| name != bollard_stubs::models::RestartPolicyNameEnum::EMPTY)
    }) {
        host.restart_policy = Some(policy.clone());
    }
    host
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn updated(host: Value, change: Value) -> Result<Value, String> {
        let host: HostConfig = serde_json::from_value(host).unwrap();
        let change: ContainerUpdateBody = serde_json::from_value(change).unwrap();
        check(&host, &change).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(merged(&host, &change)).unwrap())
    }

    #[test]
    fn updates_change_only_what_they_give() {
        let throttle = json!([{"Path": "/dev/vda", "Rate": 5}]);
        for (host, change, expected) in [
            (
                json!({"Memory": 5, "CpuShares": 7}),
                json!({"Memory": 0, "CpuShares": 9}),
                json!({"Memory": 5, "CpuShares": 9}),
            ),
            (
                json!({"PidsLimit": 5, "CpusetCpus": "0"}),
                json!({"PidsLimit": -1, "CpusetCpus": ""}),
                json!({"PidsLimit": -1, "CpusetCpus": "0"}),
            ),
            (
                json!({"RestartPolicy": {"Name": "always"}}),
                json!({"RestartPolicy": {"Name": ""}, "BlkioWeight": 20}),
                json!({"RestartPolicy": {"Name": "always"}, "BlkioWeight": 20}),
            ),
            (
                json!({"BlkioDeviceReadBps": throttle}),
                json!({"BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": throttle}),
                json!({"BlkioDeviceReadBps": throttle, "BlkioDeviceWriteBps": throttle}),
            ),
        ] {
            assert_eq!(updated(host, change), Ok(expected));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_in_dockers_words() {
        for (host, change, expected) in [
            (
                json!({"NanoCpus": 5}),
                json!({"CpuPeriod": 5}),
                "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
            ),
            (
                json!({"CpuQuota": 5}),
                json!({"NanoCpus": 5}),
                "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
            ),
            (
                json!({"Memory": 10, "MemorySwap": 20}),
                json!({"Memory": 30}),
                "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            ),
        ] {
            assert_eq!(updated(host, change), Err(expected.to_owned()));
        }
        assert!(updated(json!({"MemorySwap": -1}), json!({"Memory": 30})).is_ok());
    }
}
