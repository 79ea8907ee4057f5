//! What containers use: `GET /containers/{name}/stats`.

use std::collections::BTreeMap;

use coracle_engine::{Cpu, Interface, Io, Sample, time};
use jiff::Timestamp;
use serde_json::{Value, json};

/// One reading, with the one before it: clients take the difference.
pub fn stats(id: &str, name: &str, now: &Sample, before: &Sample) -> Value {
    let mut out = json!({
        "id": id,
        "name": format!("/{name}"),
        "os_type": "linux",
        "read": moment(now.at),
        "preread": moment(before.at),
        "pids_stats": pids(now),
        "num_procs": 0,
        "blkio_stats": block_devices(&now.io),
        "storage_stats": {},
        "cpu_stats": cpu(&now.cpu),
        "precpu_stats": cpu(&before.cpu),
        "memory_stats": memory(now),
    });
    if !now.networks.is_empty() {
        out["networks"] = networks(&now.networks);
    }
    out
}

/// A reading that was never made is Go's zero time.
fn moment(at: Timestamp) -> String {
    if at == Timestamp::default() {
        time::NEVER.to_owned()
    } else {
        time::format(at)
    }
}

fn pids(sample: &Sample) -> Value {
    let mut out = json!({});
    if sample.processes > 0 {
        out["current"] = sample.processes.into();
    }
    if sample.processes_limit > 0 {
        out["limit"] = sample.processes_limit.into();
    }
    out
}

fn cpu(cpu: &Cpu) -> Value {
    let mut out = json!({
        "cpu_usage": {
            "total_usage": cpu.total, "usage_in_kernelmode": cpu.kernel, "usage_in_usermode": cpu.user
        },
        "throttling_data": {
            "periods": cpu.periods, "throttled_periods": cpu.throttled_periods, "throttled_time": cpu.throttled
        },
    });
    if cpu.machine > 0 {
        out["system_cpu_usage"] = cpu.machine.into();
        out["online_cpus"] = cpu.online.into();
    }
    out
}

fn memory(sample: &Sample) -> Value {
    let memory = &sample.memory;
    if memory.limit == 0 {
        return json!({});
    }
    json!({"usage": memory.usage, "stats": memory.details, "limit": memory.limit})
}

fn block_devices(devices: &[Io]) -> Value {
    let entries: Vec<Value> = devices
        .iter()
        .flat_map(|device| {
            [("read", device.read), ("write", device.written)]
                .map(|(op, value)| json!({"major": device.major, "minor": device.minor, "op": op, "value": value}))
        })
        .collect();
    json!({
        "io_service_bytes_recursive": if entries.is_empty() { Value::Null } else { Value::Array(entries) },
        "io_serviced_recursive": null, "io_queue_recursive": null, "io_service_time_recursive": null,
        "io_wait_time_recursive": null, "io_merged_recursive": null, "io_time_recursive": null,
        "sectors_recursive": null,
    })
}

fn networks(interfaces: &BTreeMap<String, Interface>) -> Value {
    let one = |interface: &Interface| {
        let (
            [rx_bytes, rx_packets, rx_errors, rx_dropped],
            [tx_bytes, tx_packets, tx_errors, tx_dropped],
        ) = (interface.received, interface.sent);
        json!({
            "rx_bytes": rx_bytes, "rx_packets": rx_packets, "rx_errors": rx_errors, "rx_dropped": rx_dropped,
            "tx_bytes": tx_bytes, "tx_packets": tx_packets, "tx_errors": tx_errors, "tx_dropped": tx_dropped,
        })
    };
    interfaces
        .iter()
        .map(|(name, interface)| (name.clone(), one(interface)))
        .collect()
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::ContainerStatsResponse;
    use coracle_engine::Memory;

    use super::*;

    #[test]
    fn a_reading_fits_the_model() {
        let sample = Sample {
            at: Timestamp::new(1_700_000_000, 0).unwrap(),
            cpu: Cpu {
                total: 5,
                machine: 100,
                online: 2,
                ..Cpu::default()
            },
            memory: Memory {
                usage: 7,
                limit: 9,
                details: [("anon".to_owned(), 3)].into(),
            },
            processes: 4,
            io: vec![Io {
                major: 8,
                minor: 0,
                read: 10,
                written: 20,
            }],
            networks: [(
                "eth0".to_owned(),
                Interface {
                    received: [1, 2, 3, 4],
                    sent: [5, 6, 7, 8],
                },
            )]
            .into(),
            ..Sample::default()
        };
        let value = stats("abc", "web", &sample, &Sample::default());
        let model: ContainerStatsResponse = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(model.cpu_stats.unwrap().online_cpus, Some(2));
        assert_eq!(model.memory_stats.unwrap().stats.unwrap()["anon"], 3);
        assert_eq!(model.networks.unwrap()["eth0"].tx_packets, Some(6));
        assert_eq!(model.pids_stats.unwrap().current, Some(4));
        assert_eq!(value["preread"], "0001-01-01T00:00:00Z");
        assert_eq!(
            value["blkio_stats"]["io_service_bytes_recursive"],
            json!([
                {"major": 8, "minor": 0, "op": "read", "value": 10}, {"major": 8, "minor": 0, "op": "write", "value": 20}
            ])
        );
    }

    #[test]
    fn a_container_that_does_not_run_uses_nothing() {
        let value = stats("abc", "web", &Sample::default(), &Sample::default());
        assert_eq!(
            (&value["memory_stats"], &value["pids_stats"]),
            (&json!({}), &json!({}))
        );
        assert_eq!(value["read"], "0001-01-01T00:00:00Z");
        assert_eq!(value["cpu_stats"].get("system_cpu_usage"), None);
        assert!(value.get("networks").is_none());
    }
}
