//! Giving containers endpoints: interfaces, addresses and ports.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bollard_stubs::models::EndpointSettings;
use coracle_container_network::ipam::Pool;
use coracle_container_network::{
    Cidr, Driver, Endpoint, Mac, Making, Network, PortRequest, Upper, default_route,
    is_device_name, mac_address,
};

use super::endpoint_settings::{asked_addresses, check, links, names, option, ordered, sysctls};
use super::{Networks, State};
use crate::error::{Error, Result};
use crate::id;
use crate::record::Record;

pub(super) const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";
pub(super) const NONE: &str = "container cannot be connected to multiple networks with one of the networks in private (none) mode";

impl Networks {
    /// Gives a container that starts its endpoints, with addresses and ports.
    ///
    /// # Errors
    /// Docker's texts; then nothing is taken.
    pub fn allocate(
        &self,
        record: &Record,
        ports: &[PortRequest],
    ) -> Result<Vec<(String, Endpoint)>> {
        let asked = ordered(record);
        for (name, _) in &asked {
            self.settle(name)?;
        }
        let mut state = self.state();
        // What a start that was cut short has left.
        state.release(&record.id);
        let result = asked
            .iter()
            .try_for_each(|(name, settings)| state.join(record, name, settings).map(drop))
            .and_then(|()| state.publish(record, ports));
        if let Err(error) = result {
            state.release(&record.id);
            return Err(error);
        }
        drop(state);
        Ok(self.endpoints_of(&record.id))
    }

    /// Gives a container that runs one more endpoint.
    ///
    /// # Errors
    /// Docker's texts; then nothing is taken.
    pub(super) fn join(
        &self,
        record: &Record,
        network: &str,
        settings: &EndpointSettings,
    ) -> Result<Option<Endpoint>> {
        self.settle(network)?;
        let mut state = self.state();
        state.join(record, network, settings)
    }

    /// Publishes the ports of a container where its networks now want them.
    pub(super) fn publish_again(&self, record: &Record, ports: &[PortRequest]) -> Result<()> {
        self.state().publish(record, ports)
    }

    /// Takes one endpoint away from a container that runs.
    pub(super) fn leave(&self, container: &str, network: &str) -> Option<Endpoint> {
        let mut state = self.state();
        let list = state.endpoints.get_mut(container)?;
        let index = list
            .iter()
            .position(|endpoint| endpoint.network == network)?;
        let endpoint = list.remove(index);
        state.ports.release(&endpoint.ports);
        Some(endpoint)
    }

    /// Forgets the endpoints of a container that has ended; gives them.
    pub fn release(&self, container: &str) -> Vec<Endpoint> {
        self.state().release(container)
    }
}

impl State {
    fn release(&mut self, container: &str) -> Vec<Endpoint> {
        let endpoints = self.endpoints.remove(container).unwrap_or_default();
        for endpoint in &endpoints {
            self.ports.release(&endpoint.ports);
        }
        endpoints
    }

    /// Adds an endpoint; `None` in a network without any.
    pub(super) fn join(
        &mut self,
        record: &Record,
        name: &str,
        settings: &EndpointSettings,
    ) -> Result<Option<Endpoint>> {
        let network = self.find(name)?.clone();
        let present = self
            .endpoints
            .get(&record.id)
            .map_or(&[][..], Vec::as_slice);
        let others = record
            .networking
            .endpoints_config
            .as_ref()
            .map_or(0, HashMap::len);
        match network.driver {
            Driver::Host if others > 1 || record.network_mode() != "host" => {
                return Err(Error::Invalid(SHARED.into()));
            }
            Driver::Null if others > 1 => return Err(Error::Invalid(NONE.into())),
            Driver::Host | Driver::Null => return Ok(None),
            Driver::Bridge | Driver::Macvlan | Driver::Ipvlan => {}
        }
        if record.network_mode() == "none" {
            return Err(Error::Invalid(NONE.into()));
        }
        if record.network_mode() == "host" {
            return Err(Error::Invalid(SHARED.into()));
        }
        check(Some(&network), name, settings)?;
        if present
            .iter()
            .any(|endpoint| endpoint.network == network.id)
        {
            return Err(Error::Forbidden(format!(
                "endpoint with name {} already exists in network {}",
                record.name, network.name
            )));
        }
        let prefix = network
            .bridge()
            .map_or("eth".to_owned(), |bridge| bridge.interface_prefix);
        let is_free = |name: &str| !present.iter().any(|endpoint| endpoint.interface == name);
        let interface = match option(settings, "ifname") {
            Some(name) if !is_device_name(name) || !is_free(name) || name == "lo" => {
                return Err(Error::Invalid(format!("invalid interface name: {name}")));
            }
            Some(name) => name.to_owned(),
            None => (0..)
                .map(|number| format!("{prefix}{number}"))
                .find(|name| is_free(name))
                .unwrap_or_default(),
        };
        let addresses = self.addresses(&network, settings)?;
        let first = addresses
            .first()
            .map_or(IpAddr::from([0, 0, 0, 1]), |cidr| cidr.address);
        let mac = match settings
            .mac_address
            .as_deref()
            .filter(|mac| !mac.is_empty())
        {
            Some(text) => text.parse()?,
            None => Mac(mac_address(first)),
        };
        let gateways = gateways(&network)?;
        // Checked above.
        let interface_sysctls = sysctls(settings, &interface).unwrap_or_default();
        let endpoint = Endpoint {
            id: id::generate(),
            network: network.id.clone(),
            container: record.id.clone(),
            interface,
            mac,
            addresses,
            gateways,
            gateway_priority: settings.gw_priority.unwrap_or(0),
            sysctls: interface_sysctls,
            names: names(record, settings),
            links: links(settings),
            ports: Vec::new(),
        };
        self.endpoints
            .entry(record.id.clone())
            .or_default()
            .push(endpoint.clone());
        Ok(Some(endpoint))
    }

    /// An address out of each pool of the network.
    fn addresses(&self, network: &Network, settings: &EndpointSettings) -> Result<Vec<Cidr>> {
        let used: BTreeSet<IpAddr> = self
            .endpoints
            .values()
            .flatten()
            .filter(|endpoint| endpoint.network == network.id)
            .flat_map(|endpoint| endpoint.addresses.iter().map(|cidr| cidr.address))
            .collect();
        let asked = asked_addresses(settings);
        let mut addresses = Vec::new();
        for pool in &network.pools {
            let wanted = asked
                .iter()
                .find(|(is_ipv6, _)| *is_ipv6 == pool.subnet.is_ipv6())
                .and_then(|(_, text)| text.parse().ok());
            let address = match wanted {
                Some(_) if !pool.configured => {
                    return Err(Error::Invalid(
                        "user specified IP address is supported only when connecting to networks with user configured subnets"
                            .into(),
                    ));
                }
                Some(address) => {
                    pool.claim(address, &used)?;
                    address
                }
                None => pool.allocate(&used).ok_or_else(|| {
                    Error::Internal(format!(
                        "no available IPv{} addresses on this network's address pools: {} ({})",
                        if pool.subnet.is_ipv6() { 6 } else { 4 },
                        network.name,
                        network.id
                    ))
                })?,
            };
            addresses.push(Cidr {
                address,
                prefix: pool.subnet.prefix,
            });
        }
        // Docker: with the mask of their class.
        for text in settings
            .ipam_config
            .iter()
            .flat_map(|config| config.link_local_ips.iter().flatten())
        {
            if let Ok(address) = text.parse::<IpAddr>() {
                let prefix = if address.is_ipv6() { 64 } else { 16 };
                addresses.push(Cidr { address, prefix });
            }
        }
        Ok(addresses)
    }

    /// Ports belong to the endpoint on a bridge that has the default route, as in Docker. Those that the container has already keep their numbers.
    fn publish(&mut self, record: &Record, requests: &[PortRequest]) -> Result<()> {
        let Some(list) = self.endpoints.get_mut(&record.id) else {
            return Ok(());
        };
        let networks = &self.networks;
        let on_bridge = |endpoint: &&Endpoint| {
            networks
                .get(&endpoint.network)
                .is_some_and(|network| network.driver == Driver::Bridge)
        };
        let name = |endpoint: &Endpoint| {
            networks
                .get(&endpoint.network)
                .map_or("", |network| network.name.as_str())
        };
        let pairs = || list.iter().filter(on_bridge).map(|end| (name(end), end));
        let target = default_route(pairs(), false)
            .or_else(|| default_route(pairs(), true))
            .map(|endpoint| endpoint.id.clone());
        let Some(index) = list
            .iter()
            .position(|endpoint| Some(&endpoint.id) == target.as_ref())
        else {
            return Ok(());
        };
        if !list[index].ports.is_empty() {
            return Ok(());
        }
        let mut requests = requests.to_vec();
        for endpoint in &mut *list {
            let old = std::mem::take(&mut endpoint.ports);
            self.ports.release(&old);
            keep_numbers(&mut requests, &old);
        }
        let network = self.networks.get(&list[index].network);
        if let Some(binding) = network
            .and_then(Network::bridge)
            .and_then(|bridge| bridge.host_binding)
        {
            for request in &mut requests {
                request.host_ip.get_or_insert(binding.into());
            }
        }
        let endpoint = &mut list[index];
        let (has_ipv4, has_ipv6) = (
            endpoint.address(false).is_some(),
            endpoint.address(true).is_some(),
        );
        endpoint.ports = self
            .ports
            .take(&requests, has_ipv4, has_ipv6)
            .map_err(|error| {
                Error::Internal(format!(
                    "driver failed programming external connectivity on endpoint {} ({}): {error}",
                    record.name, endpoint.id
                ))
            })?;
        Ok(())
    }
}

/// A port that was chosen stays the same when the endpoint changes.
fn keep_numbers(requests: &mut [PortRequest], old: &[coracle_container_network::Published]) {
    let mut old: Vec<_> = old.to_vec();
    old.dedup_by_key(|port| (port.container, port.host_port));
    for request in requests {
        let fits = |port: &coracle_container_network::Published| {
            port.container == request.container
                && request.host_ip.is_none_or(|ip| ip == port.host_ip)
                && request
                    .host_ports
                    .as_ref()
                    .is_none_or(|range| range.contains(&port.host_port))
        };
        if let Some(index) = old.iter().position(fits) {
            let port = old.remove(index).host_port;
            request.host_ports = Some(port..=port);
        }
    }
}

/// What leads out of a network.
fn gateways(network: &Network) -> Result<Vec<IpAddr>> {
    let upper = Upper::parse(network)?;
    let leads_nowhere = |upper: &Upper| upper.making == Making::Dummy;
    if network.internal || upper.as_ref().is_some_and(leads_nowhere) {
        return Ok(Vec::new());
    }
    let is_routed = upper.is_some_and(|upper| upper.is_routed());
    let gateway = |pool: &Pool| match pool.gateway {
        IpAddr::V4(_) if is_routed => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) if is_routed => Ipv6Addr::UNSPECIFIED.into(),
        gateway => gateway,
    };
    Ok(network.pools.iter().map(gateway).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use bollard_stubs::models::EndpointIpamConfig;
    use coracle_container_network::ipam::Pool;

    use super::*;
    use crate::networks::{self, DefaultBridge, predefined};

    pub(crate) fn settings(ip: &str, aliases: &[&str]) -> EndpointSettings {
        EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(ip.into()),
                ..EndpointIpamConfig::default()
            }),
            aliases: Some(aliases.iter().map(ToString::to_string).collect()),
            ..EndpointSettings::default()
        }
    }

    pub(crate) fn record(name: &str, mode: &str, networks: &[(&str, EndpointSettings)]) -> Record {
        let mut record = Record {
            id: format!("{name}-0123456789abcdef"),
            name: name.into(),
            ..Record::default()
        };
        record.host_config.network_mode = Some(mode.into());
        let endpoints = networks
            .iter()
            .map(|(name, settings)| (name.to_string(), settings.clone()));
        record.networking.endpoints_config = Some(endpoints.collect());
        record
    }

    /// The three networks that are always there, `foo` of 10.0.0.0/29, and `inner`, which leads nowhere.
    pub(crate) fn state() -> State {
        let mut state = State::default();
        let mut all = predefined("", Some(&DefaultBridge::default()));
        for (name, subnet, internal) in [
            ("foo", "10.0.0.0/29", false),
            ("inner", "10.1.0.0/24", true),
        ] {
            let mut network = all[2].clone();
            network.id = networks::predefined_id(name);
            network.name = name.into();
            network.internal = internal;
            let subnet: Cidr = subnet.parse().unwrap();
            network.pools = vec![Pool {
                subnet,
                gateway: subnet.addresses().nth(1).unwrap(),
                configured: true,
                ..network.pools[0].clone()
            }];
            all.push(network);
        }
        for network in all {
            state.networks.insert(network.id.clone(), network);
        }
        state
    }

    #[test]
    fn endpoints_get_interfaces_addresses_and_names() {
        let mut state = state();
        let any = EndpointSettings::default();
        let web = record(
            "web",
            "foo",
            &[
                ("inner", any.clone()),
                ("foo", settings("10.0.0.5", &["www", "WEB"])),
            ],
        );
        for (name, settings) in ordered(&web) {
            state.join(&web, &name, &settings).unwrap();
        }
        let shown: Vec<_> = state.endpoints[&web.id]
            .iter()
            .map(|end| {
                format!(
                    "{} {} {} {:?} {:?}",
                    end.interface, end.addresses[0], end.mac, end.gateways, end.names
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "eth0 10.0.0.5/29 02:42:0a:00:00:05 [10.0.0.1] [\"web\", \"www\", \"web-01234567\"]",
                "eth1 10.1.0.2/24 02:42:0a:01:00:02 [] [\"web\", \"web-01234567\"]",
            ]
        );
        for (name, settings, expected) in [
            ("foo", settings("10.0.0.5", &[]), "Address already in use"),
            ("nowhere", any.clone(), "network nowhere not found"),
            ("none", any.clone(), NONE),
            ("host", any.clone(), SHARED),
        ] {
            let other = record(
                "other",
                "foo",
                &[("foo", any.clone()), (name, settings.clone())],
            );
            let error = state.join(&other, name, &settings).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
        assert_eq!(
            state.join(&web, "foo", &any).unwrap_err().to_string(),
            "endpoint with name web already exists in network foo"
        );
        for name in ["a", "b", "c", "d"] {
            let other = record(name, "foo", &[("foo", any.clone())]);
            state.join(&other, "foo", &any).unwrap();
        }
        let late = record("late", "foo", &[("foo", any.clone())]);
        assert_eq!(
            state.join(&late, "foo", &any).unwrap_err().to_string(),
            format!(
                "no available IPv4 addresses on this network's address pools: foo ({})",
                networks::predefined_id("foo")
            )
        );
        state.release("a-0123456789abcdef");
        let address = state.join(&late, "foo", &any).unwrap().unwrap().addresses[0].to_string();
        assert_eq!(address, "10.0.0.2/29");
    }

    #[test]
    fn chosen_ports_keep_their_numbers() {
        let request =
            |text: &str, port| PortRequest::parse(text.parse().unwrap(), "", port).unwrap();
        let mut requests = [
            request("80/tcp", ""),
            request("80/tcp", ""),
            request("81/tcp", ""),
        ];
        let old = |port, ip: &str| coracle_container_network::Published {
            container: "80/tcp".parse().unwrap(),
            host_ip: ip.parse().unwrap(),
            host_port: port,
        };
        keep_numbers(
            &mut requests,
            &[
                old(32768, "0.0.0.0"),
                old(32768, "::"),
                old(32769, "0.0.0.0"),
            ],
        );
        let ports: Vec<_> = requests
            .iter()
            .map(|request| request.host_ports.clone())
            .collect();
        assert_eq!(ports, [Some(32768..=32768), Some(32769..=32769), None]);
    }
}
