//! From what clients ask for to networks, and which ports they want published.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bollard_stubs::models::{ContainerConfig, HostConfig, IpamConfig, NetworkCreateRequest};
use coracle_container_network::ipam::{self, CheckedRequest, Pool, PoolRequest};
use coracle_container_network::{
    Bridge, Cidr, ContainerPort, Driver, Network, PortRequest, Upper, is_predefined,
};
use jiff::Timestamp;

use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::events::Kind;
use crate::{id, time};

/// Which unused networks are to go.
pub type PruneFilter<'a> = &'a (dyn Fn(&Network, Option<Timestamp>) -> bool + Send + Sync);

impl Engine {
    /// Makes a network and gives its id.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn create_network(self: &Arc<Self>, request: NetworkCreateRequest) -> Result<String> {
        let engine = Arc::clone(self);
        blocking(move || {
            let (network, pools) = parse(request)?;
            let network = engine
                .networks
                .add(network, |taken, avoid| reserve(&pools, taken, avoid))?;
            engine.network_event(&network, "create", None);
            Ok(network.id)
        })
        .await?
    }

    /// Removes a network that nobody uses.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn remove_network(self: &Arc<Self>, reference: &str) -> Result<()> {
        let (engine, reference) = (Arc::clone(self), reference.to_owned());
        blocking(move || {
            let network = engine.networks.forget(&reference)?;
            engine.network_event(&network, "destroy", None);
            Ok(())
        })
        .await?
    }

    /// Removes the networks that no container is in and `wanted` says yes to; gives their names.
    ///
    /// # Errors
    /// None that is about a single network: one that has come into use stays.
    pub async fn prune_networks(self: &Arc<Self>, wanted: PruneFilter<'_>) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for network in self.networks.list() {
            let unused = !is_predefined(&network.name) && !self.is_configured(&network);
            if unused
                && wanted(&network, time::parse(&network.created))
                && self.remove_network(&network.id).await.is_ok()
            {
                removed.push(network.name);
            }
        }
        Ok(removed)
    }

    /// Whether a container, running or not, is in this network (Docker: it does not dangle).
    pub fn is_configured(&self, network: &Network) -> bool {
        self.all().iter().any(|container| {
            let data = container.data();
            let endpoints = data.record.networking.endpoints_config.iter().flatten();
            let mut names = endpoints.map(|(name, _)| name);
            names.any(|name| *name == network.name || *name == network.id)
        })
    }

    pub(crate) fn network_event(&self, network: &Network, action: &str, container: Option<&str>) {
        let mut attributes = BTreeMap::from([
            ("name".to_owned(), network.name.clone()),
            ("type".to_owned(), network.driver.name().to_owned()),
        ]);
        attributes.extend(container.map(|id| ("container".to_owned(), id.to_owned())));
        self.events
            .publish(Kind::Network, action, &network.id, attributes);
    }
}

/// A network without addresses yet, and what it wants of them, IPv4 first.
fn parse(request: NetworkCreateRequest) -> Result<(Network, Vec<CheckedRequest>)> {
    let name = request.name;
    if name.trim().is_empty() {
        return Err(Error::Invalid("invalid name: name is empty".into()));
    }
    if is_predefined(&name) {
        return Err(Error::Forbidden(format!(
            "operation is not permitted on predefined {name} network "
        )));
    }
    let driver = match request.driver.as_deref().unwrap_or_default() {
        "" | "default" | "bridge" => Driver::Bridge,
        "macvlan" => Driver::Macvlan,
        "ipvlan" => Driver::Ipvlan,
        one @ ("host" | "null") => {
            return Err(Error::Forbidden(format!(
                "only one instance of \"{one}\" network is allowed"
            )));
        }
        other => {
            return Err(Error::MissingForStart(format!(
                "could not find plugin {other} in v1 plugin registry: plugin not found"
            )));
        }
    };
    for (present, what) in [
        (
            request.config_only.unwrap_or(false),
            "configuration-only networks",
        ),
        (
            request
                .config_from
                .is_some_and(|from| from.network.is_some_and(|name| !name.is_empty())),
            "networks made from configuration-only networks",
        ),
        (
            request.ingress.unwrap_or(false),
            "ingress networks, which belong to a swarm",
        ),
        (
            request
                .scope
                .is_some_and(|scope| !matches!(scope.as_str(), "" | "local")),
            "networks of another scope than local, which belong to a swarm",
        ),
    ] {
        if present {
            return Err(Error::Unsupported(format!("System Docker has no {what}")));
        }
    }
    let sorted = |map: Option<HashMap<String, String>>| -> BTreeMap<String, String> {
        map.unwrap_or_default().into_iter().collect()
    };
    let ipam = request.ipam.unwrap_or_default();
    if let Some(other) = ipam
        .driver
        .as_deref()
        .filter(|name| !matches!(*name, "" | "default"))
    {
        return Err(Error::Invalid(format!("invalid ipam driver: \"{other}\"")));
    }
    let network = Network {
        enable_ipv4: request.enable_ipv4.unwrap_or(true),
        enable_ipv6: request.enable_ipv6.unwrap_or(false),
        internal: request.internal.unwrap_or(false),
        attachable: request.attachable.unwrap_or(false),
        ipam_options: ipam.options.map(|options| options.into_iter().collect()),
        options: sorted(request.options),
        labels: sorted(request.labels),
        ..Network::new(id::generate(), name, time::now(), driver)
    };
    Bridge::parse(&network)?;
    Upper::parse(&network)?;
    let requests: Vec<PoolRequest> = ipam
        .config
        .unwrap_or_default()
        .into_iter()
        .map(pool_request)
        .collect();
    let mut pools = ipam::check(&requests)?;
    // Docker ignores configurations of a family that is off.
    pools.retain(|pool| {
        if pool.is_ipv6() {
            network.enable_ipv6
        } else {
            network.enable_ipv4
        }
    });
    for (is_ipv6, enabled) in [(false, network.enable_ipv4), (true, network.enable_ipv6)] {
        let count = pools
            .iter()
            .filter(|pool| pool.is_ipv6() == is_ipv6)
            .count();
        if count > 1 {
            return Err(Error::Invalid(format!(
                "a network of System Docker has one subnet of each family: {} is given {count} of IPv{}",
                network.name,
                if is_ipv6 { 6 } else { 4 }
            )));
        }
        if enabled && count == 0 {
            pools.push(if is_ipv6 {
                unique_local(&network.id)?
            } else {
                CheckedRequest::default()
            });
        }
    }
    pools.sort_by_key(CheckedRequest::is_ipv6);
    Ok((network, pools))
}

/// As Docker does where no pool of IPv6 is configured: a /64 of the unique local addresses (RFC 4193), which depends on the id.
fn unique_local(id: &str) -> Result<CheckedRequest> {
    let group = |at: usize| id.get(at..at + 4).unwrap_or("0");
    let subnet = format!(
        "fd{}:{}:{}:{}::/64",
        id.get(..2).unwrap_or("00"),
        group(2),
        group(6),
        group(10)
    );
    let cidr: Cidr = subnet
        .parse()
        .map_err(|error| Error::Internal(format!("{error}")))?;
    let request = PoolRequest {
        subnet: Some(cidr.to_string()),
        ..PoolRequest::default()
    };
    Ok(ipam::check(&[request])?.remove(0))
}

fn pool_request(config: IpamConfig) -> PoolRequest {
    PoolRequest {
        subnet: config.subnet,
        range: config.ip_range,
        gateway: config.gateway,
        auxiliary: config
            .auxiliary_addresses
            .unwrap_or_default()
            .into_iter()
            .collect(),
    }
}

fn reserve(requests: &[CheckedRequest], taken: &[Cidr], avoid: &[Cidr]) -> Result<Vec<Pool>> {
    let mut pools = Vec::new();
    for request in requests {
        pools.push(request.reserve(taken, avoid)?);
    }
    Ok(pools)
}

/// The ports that a container wants published. Those of `--publish-all` are at the end.
///
/// # Errors
/// Docker's texts for what is no port and no address.
pub fn check_ports(config: &ContainerConfig, host: &HostConfig) -> Result<Vec<PortRequest>> {
    let mut requests = Vec::new();
    let bindings: BTreeMap<_, _> = host.port_bindings.iter().flatten().collect();
    let mut published = Vec::new();
    for (key, list) in bindings {
        let mut list = list.clone().unwrap_or_default();
        if list.is_empty() {
            // Docker: named, but without a binding, means any port of the machine.
            list.push(bollard_stubs::models::PortBinding::default());
        }
        let container: ContainerPort = key.parse()?;
        published.push(container);
        for binding in list {
            requests.push(PortRequest::parse(
                container,
                binding.host_ip.as_deref().unwrap_or_default(),
                binding.host_port.as_deref().unwrap_or_default(),
            )?);
        }
    }
    let mut exposed = exposed_ports(config)?;
    exposed.retain(|port| host.publish_all_ports.unwrap_or(false) && !published.contains(port));
    for container in exposed {
        requests.push(PortRequest::parse(container, "", "")?);
    }
    Ok(requests)
}

/// The ports that a container says it listens on.
///
/// # Errors
/// Docker's text for what is no port.
pub fn exposed_ports(config: &ContainerConfig) -> Result<Vec<ContainerPort>> {
    let mut ports = Vec::new();
    for key in config.exposed_ports.iter().flatten() {
        ports.push(key.parse()?);
    }
    ports.sort();
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{Ipam, PortBinding};

    use super::*;

    fn named(name: &str) -> NetworkCreateRequest {
        NetworkCreateRequest {
            name: name.into(),
            ..NetworkCreateRequest::default()
        }
    }

    #[test]
    fn what_cannot_be_a_network_is_refused_as_docker_does() {
        let driver = |driver: &str| NetworkCreateRequest {
            driver: Some(driver.into()),
            ..named("foo")
        };
        for (request, expected) in [
            (named(" "), "invalid name: name is empty"),
            (
                named("bridge"),
                "operation is not permitted on predefined bridge network ",
            ),
            (
                driver("host"),
                "only one instance of \"host\" network is allowed",
            ),
            (
                driver("null"),
                "only one instance of \"null\" network is allowed",
            ),
            (
                driver("x"),
                "could not find plugin x in v1 plugin registry: plugin not found",
            ),
            (
                NetworkCreateRequest {
                    ipam: Some(Ipam {
                        driver: Some("x".into()),
                        ..Ipam::default()
                    }),
                    ..named("foo")
                },
                "invalid ipam driver: \"x\"",
            ),
            (
                NetworkCreateRequest {
                    scope: Some("swarm".into()),
                    ..named("foo")
                },
                "System Docker has no networks of another scope than local, which belong to a swarm",
            ),
        ] {
            assert_eq!(parse(request).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn families_that_are_on_get_addresses() {
        let config = |subnet: &str| IpamConfig {
            subnet: Some(subnet.into()),
            ..IpamConfig::default()
        };
        for (v4, v6, subnets, expected) in [
            (None, None, &[][..], vec!["172.17.0.0/16"]),
            (None, None, &["10.0.0.0/24"], vec!["10.0.0.0/24"]),
            (
                None,
                Some(true),
                &["fd00::/64"],
                vec!["172.17.0.0/16", "fd00::/64"],
            ),
            (
                Some(false),
                Some(true),
                &["10.0.0.0/24", "fd00::/64"],
                vec!["fd00::/64"],
            ),
            (None, None, &["fd00::/64"], vec!["172.17.0.0/16"]),
        ] {
            let request = NetworkCreateRequest {
                enable_ipv4: v4,
                enable_ipv6: v6,
                ipam: Some(Ipam {
                    config: Some(subnets.iter().map(|subnet| config(subnet)).collect()),
                    ..Ipam::default()
                }),
                ..named("foo")
            };
            let (_, requests) = parse(request).unwrap();
            let pools = reserve(&requests, &[], &[]).unwrap();
            let found: Vec<_> = pools.iter().map(|pool| pool.subnet.to_string()).collect();
            assert_eq!(found, expected);
        }
        let (network, requests) = parse(NetworkCreateRequest {
            enable_ipv6: Some(true),
            ..named("foo")
        })
        .unwrap();
        let pools = reserve(&requests, &[], &[]).unwrap();
        assert!(
            pools[1].subnet.to_string().starts_with("fd"),
            "{pools:?} {}",
            network.id
        );
        assert_eq!(pools[1].subnet.prefix, 64);
    }

    #[test]
    fn ports_are_those_of_bindings_and_the_exposed_ones_when_all_are_published() {
        let config = ContainerConfig {
            exposed_ports: Some(vec!["80/tcp".into(), "9/udp".into()]),
            ..ContainerConfig::default()
        };
        let mut host = HostConfig {
            port_bindings: Some(HashMap::from([(
                "80/tcp".into(),
                Some(vec![PortBinding {
                    host_ip: Some("127.0.0.1".into()),
                    host_port: Some("8080".into()),
                }]),
            )])),
            ..HostConfig::default()
        };
        let shown = |host: &HostConfig| {
            let requests = check_ports(&config, host).unwrap();
            let one = |request: &PortRequest| {
                format!(
                    "{:?} {:?} {}",
                    request.host_ip, request.host_ports, request.container
                )
            };
            requests.iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(shown(&host), ["Some(127.0.0.1) Some(8080..=8080) 80/tcp"]);
        host.publish_all_ports = Some(true);
        assert_eq!(
            shown(&host),
            [
                "Some(127.0.0.1) Some(8080..=8080) 80/tcp",
                "None None 9/udp"
            ]
        );
        host.port_bindings = Some(HashMap::from([("x".into(), None)]));
        assert_eq!(
            check_ports(&config, &host).unwrap_err().to_string(),
            "invalid port specification: \"x\""
        );
    }
}
