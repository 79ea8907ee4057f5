//! From a [`Service`] to the body of the Docker API's "create container" (API 1.24 and later, `POST /containers/create`).

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigLogConfig, NetworkingConfig, PortBinding, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::labels;
use crate::order::before_colon;
use crate::project::Project;
use crate::service::{Restart, Service};

/// What to ask the engine for. The body carries the labels that [`crate::up`] recognises its containers by.
#[must_use]
pub fn create_body(project: &Project, service: &Service) -> ContainerCreateBody {
    let mut body = plain_body(project, service);
    let mut all: HashMap<String, String> = service
        .labels
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    all.insert(labels::CONFIG_HASH.into(), config_hash(project, service));
    all.insert(labels::PROJECT.into(), labels::PROJECT_NAME.into());
    all.insert(labels::SERVICE.into(), service.name.clone());
    body.labels = Some(all);
    body
}

/// Digest of everything the container is made from: the request's body, and that of the services whose volumes it takes over,
/// because Docker copies those into the container when it is made (D2-018).
#[must_use]
pub fn config_hash(project: &Project, service: &Service) -> String {
    fn feed(project: &Project, service: &Service, seen: &mut Vec<String>, digest: &mut Sha256) {
        if seen.contains(&service.name) {
            return;
        }
        seen.push(service.name.clone());
        let mut body = plain_body(project, service);
        let labels: BTreeMap<_, _> = service.labels.clone();
        body.labels = Some(labels.into_iter().collect());
        // Maps of the API's model are hash maps: sorted, they give the same text each time.
        let mut value = serde_json::to_value(body).unwrap_or(Value::Null);
        value.sort_all_objects();
        digest.update(service.container_name.as_bytes());
        digest.update(value.to_string().as_bytes());
        for from in &service.volumes_from {
            if let Some(from) = project.service(before_colon(from)) {
                feed(project, from, seen, digest);
            }
        }
    }
    let mut digest = Sha256::new();
    feed(project, service, &mut Vec::new(), &mut digest);
    digest
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The body without labels.
fn plain_body(project: &Project, service: &Service) -> ContainerCreateBody {
    let (anonymous, binds): (Vec<String>, Vec<String>) = service
        .volumes
        .iter()
        .cloned()
        .partition(|v| !v.contains(':'));
    let mut exposed: Vec<String> = service
        .ports
        .iter()
        .map(|p| format!("{}/{}", p.container, p.protocol))
        .chain(service.expose.iter().map(|e| match e.contains('/') {
            true => e.clone(),
            false => format!("{e}/tcp"),
        }))
        .collect();
    exposed.sort();
    exposed.dedup();
    ContainerCreateBody {
        image: Some(service.image.clone()),
        cmd: service.command.clone(),
        entrypoint: service.entrypoint.clone(),
        env: filled(project.variables(service)),
        exposed_ports: filled(exposed),
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        user: service.user.clone(),
        working_dir: service.working_dir.clone(),
        tty: service.tty.then_some(true),
        open_stdin: service.stdin_open.then_some(true),
        stop_signal: service.stop_signal.clone(),
        volumes: filled(anonymous),
        networking_config: networking_config(service),
        host_config: Some(host_config(project, service, binds)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(project: &Project, service: &Service, binds: Vec<String>) -> HostConfig {
    let namespace = |mode: &Option<String>| {
        let mode = mode.as_deref()?;
        Some(match mode.strip_prefix("container:") {
            Some(name) => format!("container:{}", project.container_name(name)),
            None => mode.to_string(),
        })
    };
    let first_renamed = |entries: &[String]| -> Vec<String> {
        let rename = |entry: &String| {
            let name = before_colon(entry);
            format!("{}{}", project.container_name(name), &entry[name.len()..])
        };
        entries.iter().map(rename).collect()
    };
    let mut links = first_renamed(&service.links);
    links.extend(service.external_links.iter().cloned());
    // "name" alone means "name:name", by the service's name even when its container has another.
    for (link, written) in links
        .iter_mut()
        .zip(service.links.iter().chain(&service.external_links))
    {
        if !written.contains(':') {
            *link = format!("{link}:{written}");
        }
    }
    HostConfig {
        binds: filled(binds),
        cap_add: filled(service.cap_add.clone()),
        cap_drop: filled(service.cap_drop.clone()),
        cgroup_parent: service.cgroup_parent.clone(),
        cgroupns_mode: service
            .host_cgroup
            .then_some(HostConfigCgroupnsModeEnum::HOST),
        cpu_quota: service.cpu_quota,
        cpu_shares: service.cpu_shares,
        cpuset_cpus: service.cpuset.clone(),
        devices: filled(
            service
                .devices
                .iter()
                .map(|d| DeviceMapping {
                    path_on_host: Some(d.host.clone()),
                    path_in_container: Some(d.container.clone()),
                    cgroup_permissions: Some(d.permissions.clone()),
                })
                .collect(),
        ),
        dns: filled(service.dns.clone()),
        dns_search: filled(service.dns_search.clone()),
        extra_hosts: filled(service.extra_hosts.clone()),
        ipc_mode: namespace(&service.ipc),
        links: filled(links),
        log_config: log_config(service),
        memory: service.mem_limit,
        memory_swap: service.memswap_limit,
        network_mode: namespace(&service.net),
        oom_score_adj: service.oom_score_adj,
        pid_mode: namespace(&service.pid),
        port_bindings: port_bindings(service),
        privileged: service.privileged.then_some(true),
        readonly_rootfs: service.read_only.then_some(true),
        restart_policy: restart_policy(service.restart),
        security_opt: filled(service.security_opt.clone()),
        shm_size: service.shm_size,
        tmpfs: (!service.tmpfs.is_empty()).then(|| service.tmpfs.clone().into_iter().collect()),
        ulimits: filled(
            service
                .ulimits
                .iter()
                .map(|u| ResourcesUlimits {
                    name: Some(u.name.clone()),
                    soft: Some(u.soft),
                    hard: Some(u.hard),
                })
                .collect(),
        ),
        uts_mode: service.uts.clone(),
        volume_driver: service.volume_driver.clone(),
        volumes_from: filled(first_renamed(&service.volumes_from)),
        ..HostConfig::default()
    }
}

/// The hardware address belongs to the endpoint since API 1.44. A container that borrows another's network has no endpoint.
fn networking_config(service: &Service) -> Option<NetworkingConfig> {
    let network = service.net.as_deref().unwrap_or("default");
    let endpoint = EndpointSettings {
        mac_address: Some(service.mac_address.clone()?),
        ..EndpointSettings::default()
    };
    let own = !matches!(network, "host" | "none") && !network.starts_with("container:");
    own.then(|| NetworkingConfig {
        endpoints_config: Some([(network.to_string(), endpoint)].into()),
    })
}

/// `None` for an empty list: the engine's default, and absent from the request.
fn filled<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn log_config(service: &Service) -> Option<HostConfigLogConfig> {
    (service.log_driver.is_some() || !service.log_opt.is_empty()).then(|| HostConfigLogConfig {
        typ: Some(service.log_driver.clone().unwrap_or_default()),
        config: Some(service.log_opt.clone().into_iter().collect()),
    })
}

fn port_bindings(service: &Service) -> Option<HashMap<String, Option<Vec<PortBinding>>>> {
    let mut map: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &service.ports {
        map.entry(format!("{}/{}", port.container, port.protocol))
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: Some(port.ip.map(|ip| ip.to_string()).unwrap_or_default()),
                host_port: Some(port.host.map(|p| p.to_string()).unwrap_or_default()),
            });
    }
    (!map.is_empty()).then_some(map)
}

fn restart_policy(restart: Restart) -> Option<RestartPolicy> {
    let (name, maximum_retry_count) = match restart {
        Restart::No => return None,
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::OnFailure(count) => (RestartPolicyNameEnum::ON_FAILURE, count),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
    };
    Some(RestartPolicy {
        name: Some(name),
        maximum_retry_count,
    })
}

#[cfg(test)]
mod tests;
