//! What can be wrong with a request, in Docker's words.

use bollard_stubs::models::{ContainerConfig, HostConfig, HostConfigIsolationEnum};
use coracle_runtime::{capabilities, devices};

use crate::error::{Error, Result};
use crate::logs::Rotation;
use crate::namespaces::{Mode, Modes};
use crate::restart::Policy;
use crate::{health, log_options, networks, security, signals, spec};

/// Takes away what Docker, too, accepts and does not use on Linux; gives a warning for each.
pub fn discard(host: &mut HostConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if host.cpu_count.take().is_some_and(|count| count != 0) {
        warnings.push("linux does not support CPU count. Count discarded.".to_owned());
    }
    warnings.extend(networks::warning(host));
    warnings
}

/// Everything that can be wrong without looking at other containers.
pub fn check(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let invalid = |text: String| Err(Error::Invalid(text));
    let command = config
        .entrypoint
        .iter()
        .flatten()
        .chain(config.cmd.iter().flatten());
    if command
        .clone()
        .next()
        .is_none_or(|program| program.is_empty())
    {
        return invalid("no command specified".into());
    }
    if config
        .working_dir
        .as_deref()
        .is_some_and(|dir| !dir.is_empty() && !dir.starts_with('/'))
    {
        let dir = config.working_dir.as_deref().unwrap_or_default();
        return invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        ));
    }
    for entry in config.env.iter().flatten() {
        if entry.is_empty() || entry.starts_with('=') {
            return invalid(format!("invalid environment variable: {entry}"));
        }
    }
    if let Some(signal) = config
        .stop_signal
        .as_deref()
        .filter(|signal| !signal.is_empty())
    {
        signals::parse(signal)?;
    }
    if let Some(check) = &config.healthcheck {
        health::validate(check)?;
    }
    let policy = Policy::parse(host.restart_policy.as_ref())?;
    if host.auto_remove.unwrap_or(false) && policy != Policy::No {
        return invalid("can't create 'AutoRemove' container with restart policy".into());
    }
    let modes = Modes::parse(host)?;
    if modes.uts == Mode::Host
        && config
            .hostname
            .as_deref()
            .is_some_and(|name| !name.is_empty())
    {
        return invalid("conflicting options: hostname and the UTS mode".into());
    }
    if matches!(modes.net, Mode::Container(_))
        && config
            .hostname
            .as_deref()
            .is_some_and(|name| !name.is_empty())
    {
        return invalid("conflicting options: hostname and the network mode".into());
    }
    networks::check(config, host, &modes.net)?;
    security::parse(&host.security_opt.clone().unwrap_or_default())?;
    log_options::parse(
        host.log_config.as_ref(),
        Rotation {
            max_size: None,
            max_files: 1,
        },
    )?;
    for ulimit in host.ulimits.iter().flatten() {
        if spec::rlimit(ulimit).is_none() {
            return invalid(format!(
                "invalid ulimit type: {}",
                ulimit.name.clone().unwrap_or_default()
            ));
        }
    }
    if let Some(score) = host
        .oom_score_adj
        .filter(|score| !(-1000..=1000).contains(score))
    {
        return invalid(format!(
            "Invalid value {score}, range for oom score adj is [-1000, 1000]"
        ));
    }
    for entry in host.extra_hosts.iter().flatten() {
        if !entry
            .split_once([':', '='])
            .is_some_and(|(name, address)| !name.is_empty() && !address.is_empty())
        {
            return invalid(format!("bad format for add-host: \"{entry}\""));
        }
    }
    let userns = host.userns_mode.as_deref().unwrap_or_default();
    if !matches!(userns, "" | "host") {
        return invalid("invalid USER mode: this engine does not remap users".into());
    }
    for name in host.sysctls.iter().flatten().map(|(name, _)| name) {
        sysctl(name, &modes)?;
    }
    for rule in host.device_cgroup_rules.iter().flatten() {
        devices::parse_rule(rule).map_err(|error| Error::Invalid(error.to_string()))?;
    }
    if let Some(request) = host.device_requests.iter().flatten().next() {
        let wanted: Vec<String> = request
            .capabilities
            .iter()
            .flatten()
            .map(|list| format!("[{}]", list.join(" ")))
            .collect();
        return invalid(format!(
            "could not select device driver {:?} with capabilities: [{}]",
            request.driver.as_deref().unwrap_or_default(),
            wanted.join(" ")
        ));
    }
    if host.storage_opt.iter().flatten().next().is_some() {
        return invalid(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
                .into(),
        );
    }
    for (names, field) in [(&host.cap_add, "CapAdd"), (&host.cap_drop, "CapDrop")] {
        let names = names.as_deref().unwrap_or_default();
        capabilities::resolve(names, &[], false, &capabilities::default_set())
            .map_err(|error| Error::Invalid(format!("invalid {field}: {error}")))?;
    }
    if let Some(isolation) = host.isolation.filter(|isolation| {
        !matches!(
            isolation,
            HostConfigIsolationEnum::EMPTY | HostConfigIsolationEnum::DEFAULT
        )
    }) {
        return invalid(format!(
            "invalid isolation ({isolation}): linux only supports 'default'"
        ));
    }
    if let Some(cgroup) = host.cgroup.as_deref().filter(|cgroup| !cgroup.is_empty()) {
        return invalid(format!("invalid cgroup spec: {cgroup}"));
    }
    if let Some(runtime) = host
        .runtime
        .as_deref()
        .filter(|name| !matches!(*name, "" | "coracle" | "runc"))
    {
        return invalid(format!("unknown or invalid runtime name: {runtime}"));
    }
    Ok(())
}

/// Kernel settings that belong to a namespace, and so to a container that has one of its own (sysctl(8), and the list of
/// the OCI runtime's reference implementation). All others would change the machine.
fn sysctl(name: &str, modes: &Modes<'_>) -> Result<()> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let refuse = |why: &str| Err(Error::Invalid(format!("sysctl {name:?} {why}")));
    // Both notations mean the same file.
    let name = name.replace('/', ".");
    let of_ipc = IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.");
    if name.split('.').any(str::is_empty) {
        return refuse("is not in a separate kernel namespace");
    }
    match (name.as_str(), &modes.ipc, &modes.net) {
        (_, Mode::Host, _) if of_ipc => refuse("is not allowed in the hosts ipc namespace"),
        _ if of_ipc => Ok(()),
        (name, _, Mode::Host) if name.starts_with("net.") => {
            refuse("not allowed in host network namespace")
        }
        (name, ..) if name.starts_with("net.") => Ok(()),
        ("kernel.domainname", ..) if modes.uts != Mode::Host => Ok(()),
        ("kernel.hostname", ..) => {
            refuse("is not allowed as it conflicts with the OCI \"hostname\" field")
        }
        _ => refuse("is not in a separate kernel namespace"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(config: serde_json::Value) -> Option<String> {
        let host: HostConfig = serde_json::from_value(config["HostConfig"].clone()).unwrap();
        let mut config: ContainerConfig = serde_json::from_value(config).unwrap();
        config.cmd = Some(vec!["true".into()]);
        check(&config, &host).err().map(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_in_dockers_words() {
        for (host, expected) in [
            (json!({}), None),
            (
                json!({"Isolation": "default", "UsernsMode": "host", "Runtime": "runc"}),
                None,
            ),
            (
                json!({"DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]}),
                Some("could not select device driver \"\" with capabilities: [[gpu]]"),
            ),
            (
                json!({"StorageOpt": {"size": "1G"}}),
                Some(
                    "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
                ),
            ),
            (
                json!({"CapAdd": ["CAP_FLY"]}),
                Some("invalid CapAdd: unknown capability: \"CAP_FLY\""),
            ),
            (
                json!({"CapDrop": ["CAP_FLY"]}),
                Some("invalid CapDrop: unknown capability: \"CAP_FLY\""),
            ),
            (
                json!({"Isolation": "hyperv"}),
                Some("invalid isolation (hyperv): linux only supports 'default'"),
            ),
            (
                json!({"Cgroup": "container:x"}),
                Some("invalid cgroup spec: container:x"),
            ),
            (
                json!({"Runtime": "kata"}),
                Some("unknown or invalid runtime name: kata"),
            ),
            (
                json!({"UsernsMode": "private"}),
                Some("invalid USER mode: this engine does not remap users"),
            ),
            (
                json!({"OomScoreAdj": 1001}),
                Some("Invalid value 1001, range for oom score adj is [-1000, 1000]"),
            ),
            (
                json!({"Ulimits": [{"Name": "nope", "Soft": 1, "Hard": 1}]}),
                Some("invalid ulimit type: nope"),
            ),
            (
                json!({"AutoRemove": true, "RestartPolicy": {"Name": "always"}}),
                Some("can't create 'AutoRemove' container with restart policy"),
            ),
            (json!({"PidMode": "x"}), Some("invalid PID mode")),
            (json!({"IpcMode": "x"}), Some("invalid IPC mode: x")),
            (json!({"UTSMode": "x"}), Some("invalid UTS mode")),
        ] {
            let found = refusal(json!({"HostConfig": host}));
            assert_eq!(found.as_deref(), expected, "{host}");
        }
        let found = refusal(json!({"HostConfig": {"DeviceCgroupRules": ["x"]}}));
        assert_eq!(
            found.as_deref(),
            Some("invalid device cgroup rule format: 'x'")
        );
        for (config, expected) in [
            (
                json!({"HostConfig": {}, "WorkingDir": "x"}),
                "the working directory 'x' is invalid, it needs to be an absolute path",
            ),
            (
                json!({"HostConfig": {}, "Env": ["=x"]}),
                "invalid environment variable: =x",
            ),
            (
                json!({"HostConfig": {}, "StopSignal": "x"}),
                "invalid signal: x",
            ),
            (
                json!({"HostConfig": {"UTSMode": "host"}, "Hostname": "x"}),
                "conflicting options: hostname and the UTS mode",
            ),
        ] {
            assert_eq!(
                refusal(config.clone()).as_deref(),
                Some(expected),
                "{config}"
            );
        }
    }

    #[test]
    fn only_settings_of_own_namespaces_are_a_containers() {
        for (name, mode, expected) in [
            ("net.core.somaxconn", json!({}), None),
            ("net/ipv4/ip_forward", json!({}), None),
            ("kernel.shmmax", json!({}), None),
            ("fs.mqueue.msg_max", json!({}), None),
            ("kernel.domainname", json!({}), None),
            (
                "kernel.core_pattern",
                json!({}),
                Some("sysctl \"kernel.core_pattern\" is not in a separate kernel namespace"),
            ),
            (
                "net.../kernel/core_pattern",
                json!({}),
                Some("sysctl \"net.../kernel/core_pattern\" is not in a separate kernel namespace"),
            ),
            (
                "kernel.shmmax",
                json!({"IpcMode": "host"}),
                Some("sysctl \"kernel.shmmax\" is not allowed in the hosts ipc namespace"),
            ),
            (
                "net.core.somaxconn",
                json!({"NetworkMode": "host"}),
                Some("sysctl \"net.core.somaxconn\" not allowed in host network namespace"),
            ),
            (
                "kernel.hostname",
                json!({}),
                Some(
                    "sysctl \"kernel.hostname\" is not allowed as it conflicts with the OCI \"hostname\" field",
                ),
            ),
        ] {
            let mut host = mode;
            host["Sysctls"] = json!({name: "1"});
            let found = refusal(json!({"HostConfig": host}));
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }
}
