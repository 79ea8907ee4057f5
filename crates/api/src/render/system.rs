//! The engine and its machine: `GET /version` and `GET /info`.

use coracle_distribution::Settings;
use serde_json::{Value, json};

use crate::version::ApiVersion;

/// What the machine is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Machine {
    /// Host name.
    pub name: String,
    /// Kernel's release: `6.12.0`.
    pub kernel: String,
    /// Kernel's name of the architecture: `x86_64`.
    pub architecture: String,
    /// Name of the operating system, for people.
    pub system: String,
    /// Its version.
    pub system_version: String,
    /// Processors.
    pub cpus: usize,
    /// Memory, bytes.
    pub memory: u64,
    /// Controllers of the control groups.
    pub controllers: Vec<String>,
    /// Whether packets are forwarded.
    pub forwards: bool,
}

/// What the engine has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Containers whose process runs.
    pub running: usize,
    /// Containers whose process is frozen.
    pub paused: usize,
    /// All others.
    pub stopped: usize,
    /// Images.
    pub images: usize,
    /// Clients that listen to events.
    pub listeners: usize,
    /// Open descriptors.
    pub descriptors: usize,
    /// Log driver of containers that name none.
    pub log_driver: String,
}

/// Version of the engine.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Go's name of an architecture, which the API uses for `Arch`.
fn go_architecture(kernel: &str) -> &str {
    match kernel {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /version`
pub fn version(machine: &Machine) -> Value {
    let architecture = go_architecture(&machine.architecture);
    let details = json!({
        "ApiVersion": ApiVersion::NEWEST.to_string(),
        "Arch": architecture,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": machine.kernel,
        "MinAPIVersion": ApiVersion::OLDEST.to_string(),
        "Os": "linux",
    });
    json!({
        "Platform": {"Name": "System Docker (Coracle)"},
        "Components": [{"Name": "Engine", "Version": VERSION, "Details": details}],
        "Version": VERSION,
        "ApiVersion": ApiVersion::NEWEST.to_string(),
        "MinAPIVersion": ApiVersion::OLDEST.to_string(),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": machine.kernel,
        "Experimental": false,
        "BuildTime": "",
    })
}

/// `RegistryConfig` of `GET /info`: how registries are reached.
pub fn registries(settings: &Settings) -> Value {
    let (networks, hosts): (Vec<_>, Vec<_>) = settings
        .insecure_registries
        .iter()
        .partition(|registry| registry.contains('/'));
    let index = |name: &str, mirrors: &[String], secure: bool| {
        let official = name == "docker.io";
        json!({"Name": name, "Mirrors": mirrors, "Secure": secure, "Official": official})
    };
    let mirrors = &settings.registry_mirrors;
    let mut indexes = json!({"docker.io": index("docker.io", mirrors, true)});
    for host in hosts {
        indexes[host] = index(host, &[], false);
    }
    // Loopback always is.
    let loopback = ["::1/128", "127.0.0.0/8"];
    let networks: Vec<_> = loopback
        .into_iter()
        .chain(networks.into_iter().map(String::as_str))
        .collect();
    json!({"IndexConfigs": indexes, "InsecureRegistryCIDRs": networks, "Mirrors": mirrors})
}

/// `GET /info`. `id` identifies the engine, `root` is where its data is, `now` is RFC 3339.
pub fn info(
    machine: &Machine,
    counts: &Counts,
    settings: &Settings,
    id: &str,
    root: &str,
    now: &str,
) -> Value {
    let has = |controller: &str| machine.controllers.iter().any(|name| name == controller);
    json!({
        "ID": id,
        "Containers": counts.running + counts.paused + counts.stopped,
        "ContainersRunning": counts.running,
        "ContainersPaused": counts.paused,
        "ContainersStopped": counts.stopped,
        "Images": counts.images,
        "Driver": "overlay2",
        "DriverStatus": [["Layers", "unpacked directories"]],
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "ipvlan", "macvlan", "null"], "Authorization": null, "Log": ["json-file", "local", "none", "syslog"]},
        "MemoryLimit": has("memory"),
        "SwapLimit": has("memory"),
        "CpuCfsPeriod": has("cpu"),
        "CpuCfsQuota": has("cpu"),
        "CPUShares": has("cpu"),
        "CPUSet": has("cpuset"),
        "PidsLimit": has("pids"),
        "OomKillDisable": false,
        "IPv4Forwarding": machine.forwards,
        "BridgeNfIptables": true,
        "BridgeNfIp6tables": true,
        "Debug": false,
        "NFd": counts.descriptors,
        "NGoroutines": 0,
        "SystemTime": now,
        "LoggingDriver": counts.log_driver,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2",
        "NEventsListener": counts.listeners,
        "KernelVersion": machine.kernel,
        "OperatingSystem": machine.system,
        "OSVersion": machine.system_version,
        "OSType": "linux",
        "Architecture": machine.architecture,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": registries(settings),
        "NCPU": machine.cpus,
        "MemTotal": machine.memory,
        "GenericResources": null,
        "DockerRootDir": root,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": machine.name,
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": VERSION,
        "Runtimes": {"coracle": {"path": "coracle"}},
        "DefaultRuntime": "coracle",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null
        },
        "LiveRestoreEnabled": false,
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "CDISpecDirs": [],
        "Warnings": null,
    })
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{SystemInfo, SystemVersion};

    use super::*;

    fn machine() -> Machine {
        Machine {
            name: "boat".into(),
            kernel: "6.12.0".into(),
            architecture: "x86_64".into(),
            cpus: 2,
            memory: 1 << 30,
            controllers: vec!["memory".into(), "pids".into()],
            ..Machine::default()
        }
    }

    #[test]
    fn the_version_names_both_ends_of_the_api() {
        let version: SystemVersion = serde_json::from_value(version(&machine())).unwrap();
        assert_eq!(version.api_version.as_deref(), Some("1.53"));
        assert_eq!(version.min_api_version.as_deref(), Some("1.24"));
        assert_eq!(version.arch.as_deref(), Some("amd64"));
    }

    #[test]
    fn the_info_fits_the_model() {
        let counts = Counts {
            running: 2,
            stopped: 1,
            ..Counts::default()
        };
        let settings = Settings {
            insecure_registries: vec!["reg.lan:5000".into(), "10.0.0.0/8".into()],
            registry_mirrors: vec!["https://mirror.example".into()],
            ..Settings::default()
        };
        let value = info(
            &machine(),
            &counts,
            &settings,
            "x",
            "/var/lib/system-docker",
            "2026-01-01T00:00:00Z",
        );
        assert_eq!(
            value["RegistryConfig"],
            json!({
                "IndexConfigs": {
                    "docker.io": {
                        "Name": "docker.io", "Mirrors": ["https://mirror.example"], "Secure": true, "Official": true,
                    },
                    "reg.lan:5000": {
                        "Name": "reg.lan:5000", "Mirrors": [], "Secure": false, "Official": false,
                    },
                },
                "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", "10.0.0.0/8"],
                "Mirrors": ["https://mirror.example"],
            })
        );
        let info: SystemInfo = serde_json::from_value(value).unwrap();
        assert_eq!(
            (info.containers, info.containers_running),
            (Some(3), Some(2))
        );
        assert_eq!(
            (info.memory_limit, info.cpu_cfs_quota, info.pids_limit),
            (Some(true), Some(false), Some(true))
        );
        assert_eq!(
            info.swarm.unwrap().local_node_state.unwrap().to_string(),
            "inactive"
        );
    }
}
