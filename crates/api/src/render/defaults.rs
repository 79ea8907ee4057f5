//! Docker's zero values: objects as its engine writes them when nothing was set.

use serde_json::{Value, json};

/// `Config` of a container.
pub fn container_config() -> Value {
    json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
        "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": [], "Cmd": null, "Image": "", "Volumes": null,
        "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {}
    })
}

/// `HostConfig` of a container.
pub fn host_config() -> Value {
    json!({
        "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {}}, "NetworkMode": "none",
        "PortBindings": null, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": false,
        "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null,
        "CgroupnsMode": "private", "Dns": null, "DnsOptions": null, "DnsSearch": null, "ExtraHosts": null, "GroupAdd": null,
        "IpcMode": "private", "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false,
        "PublishAllPorts": false, "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
        "ShmSize": 67_108_864, "Runtime": "", "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0,
        "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": null, "BlkioDeviceReadBps": null,
        "BlkioDeviceWriteBps": null, "BlkioDeviceReadIOps": null, "BlkioDeviceWriteIOps": null, "CpuPeriod": 0, "CpuQuota": 0,
        "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": null,
        "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
        "MemorySwappiness": null, "OomKillDisable": null, "PidsLimit": null, "Ulimits": null, "CpuCount": 0,
        "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "MaskedPaths": null, "ReadonlyPaths": null
    })
}

/// `NetworkSettings` of a container without a network of its own. Clients older than API 1.52 read the fields that are
/// gone since.
pub fn network_settings() -> Value {
    json!({
        "Bridge": "", "SandboxID": "", "SandboxKey": "", "Ports": {}, "HairpinMode": false, "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0, "SecondaryIPAddresses": null, "SecondaryIPv6Addresses": null, "EndpointID": "",
        "Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPAddress": "", "IPPrefixLen": 0,
        "IPv6Gateway": "", "MacAddress": "", "Networks": {}
    })
}

/// A container's place in a network.
pub fn endpoint() -> Value {
    json!({
        "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "", "DriverOpts": null, "GwPriority": 0,
        "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "",
        "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": null
    })
}

/// `Config` of an image.
pub fn image_config() -> Value {
    json!({
        "User": "", "Env": [], "Cmd": null, "Volumes": null, "WorkingDir": "", "Entrypoint": null,
        "OnBuild": null, "Labels": null
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    use bollard_stubs::models;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;

    /// Reads `defaults` with the model and writes it again: every field that is not null must come back.
    fn survives<T: DeserializeOwned + Serialize + Debug>(defaults: &Value, unknown: &[&str]) {
        let model: T = serde_json::from_value(defaults.clone()).unwrap();
        let again = serde_json::to_value(&model).unwrap();
        let lost: BTreeSet<_> = defaults
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, value)| !value.is_null() && again.get(key) != Some(value))
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(
            lost,
            unknown.iter().copied().collect(),
            "{}",
            std::any::type_name::<T>()
        );
    }

    #[test]
    fn the_names_and_types_are_the_models() {
        survives::<models::ContainerConfig>(&container_config(), &[]);
        survives::<models::HostConfig>(&host_config(), &[]);
        survives::<models::EndpointSettings>(&endpoint(), &[]);
        survives::<models::ImageConfig>(&image_config(), &[]);
        let older = [
            "Bridge",
            "EndpointID",
            "Gateway",
            "GlobalIPv6Address",
            "GlobalIPv6PrefixLen",
            "HairpinMode",
            "IPAddress",
            "IPPrefixLen",
            "IPv6Gateway",
            "LinkLocalIPv6Address",
            "LinkLocalIPv6PrefixLen",
            "MacAddress",
        ];
        survives::<models::NetworkSettings>(&network_settings(), &older);
    }
}
