//! What the kernel has of the networks: bridges that are up, and the table of rules.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};

use coracle_container_network::ipam::{CheckedRequest, Pool};
use coracle_container_network::nftables::Table;
use coracle_container_network::{
    Bridge, Cidr, Driver, Endpoint, HOST_PREFIX, Mac, Namespace, Network, Pair, Routing, Upper,
    default_route, mac_address, rules,
};

use super::name_server::Sockets;
use super::{Networks, State, exists, machine_networks, named};
use crate::disk::{self, Durability};
use crate::error::{Doing, Result};

/// What was made. Its lock is held while something of the machine's network is changed, so that rules never overtake each other.
#[derive(Debug)]
pub struct Kernel {
    marker: PathBuf,
    /// By id of the network.
    bridges: BTreeMap<String, Raised>,
    /// The rules as they are now.
    table: Option<Table>,
}

#[derive(Debug)]
struct Raised {
    bridge: Bridge,
    index: u32,
}

impl Kernel {
    /// Cleans up after an engine that has made something since the machine was started.
    pub fn new(marker: PathBuf, networks: &BTreeMap<String, Network>) -> Self {
        if exists(&marker)
            && let Err(error) = clean_up(networks)
        {
            tracing::error!("clean up networks: {error}");
        }
        Self {
            marker,
            bridges: BTreeMap::new(),
            table: None,
        }
    }

    /// Leaves everything as it is, to be taken over.
    pub fn in_use(marker: PathBuf) -> Self {
        Self {
            marker,
            bridges: BTreeMap::new(),
            table: None,
        }
    }

    /// Notes on disk that there will be something to clean up.
    fn mark(&self) -> Result<()> {
        fs::write(&self.marker, "").doing(|| format!("write {}", self.marker.display()))
    }
}

/// No container is left: neither are their interfaces needed, nor the bridges until the next one starts.
fn clean_up(networks: &BTreeMap<String, Network>) -> Result<()> {
    Table::remove(rules::TABLE)?;
    let routing = Routing::open()?;
    let devices: Vec<String> = networks
        .values()
        .filter_map(Network::bridge)
        .map(|bridge| bridge.device)
        .collect();
    for link in routing.links()? {
        if link.name.starts_with(HOST_PREFIX) || link.is_bridge && devices.contains(&link.name) {
            routing.remove(&link.name)?;
        }
    }
    Ok(())
}

impl Networks {
    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects the endpoints, which are in the state, to a container's namespace; `all` are those of the container, these included.
    /// Blocks. On an error everything of these endpoints is as before.
    pub(super) fn attach(
        self: &Arc<Self>,
        endpoints: &[Endpoint],
        all: &[(String, Endpoint)],
        namespace: &Namespace,
        servers: &[String],
    ) -> Result<()> {
        let result = self.try_attach(endpoints, all, namespace, servers);
        if result.is_err() {
            self.detach(endpoints);
        }
        result
    }

    fn try_attach(
        self: &Arc<Self>,
        endpoints: &[Endpoint],
        all: &[(String, Endpoint)],
        namespace: &Namespace,
        servers: &[String],
    ) -> Result<()> {
        let routing = Routing::open()?;
        let mut renamed = Vec::new();
        for endpoint in endpoints {
            let network = self.find(&endpoint.network)?;
            if let Some(upper) = Upper::parse(&network)? {
                // The parent of two is made once.
                let _kernel = self.kernel();
                let mark = mark(&network.id);
                // The kernel makes none by a name that the machine has: its own are called eth0, too.
                let made = endpoint.host_interface();
                routing.upper(&upper, &mark, namespace, &made, endpoint.mac)?;
                renamed.push((made, &endpoint.interface));
                continue;
            }
            let (bridge, index) = {
                let mut kernel = self.kernel();
                let raised = self.raise(&mut kernel, &routing, &network)?;
                self.install_rules(&mut kernel)?;
                raised
            };
            routing.pair(&Pair {
                name: &endpoint.host_interface(),
                bridge: index,
                namespace,
                peer: &endpoint.interface,
                mac: endpoint.mac,
                mtu: bridge.mtu,
                isolated: !bridge.inter_container,
            })?;
        }
        let container = endpoints
            .first()
            .map_or("", |endpoint| endpoint.container.as_str());
        let has_names = |endpoint: &Endpoint| {
            self.find(&endpoint.network)
                .is_ok_and(|network| network.has_name_server())
        };
        let needs_server =
            endpoints.iter().any(has_names) && !self.name_servers().contains_key(container);
        let sockets = namespace.run(|| {
            let routing = Routing::open()?;
            for (made, name) in &renamed {
                routing.rename(made, name)?;
            }
            configure(&routing, endpoints, all)?;
            needs_server.then(Sockets::open).transpose()
        })?;
        match sockets {
            Some(sockets) => self.serve_names(container, servers, sockets),
            None => Ok(()),
        }
    }

    /// Ids of the networks whose bridges are up.
    pub(super) fn raised(&self) -> Vec<String> {
        self.kernel().bridges.keys().cloned().collect()
    }

    /// Takes over bridges that are up, and makes the rules anew: those of another version may be others.
    pub(super) fn take_over_bridges(&self, raised: &[String]) -> Result<()> {
        let mut kernel = self.kernel();
        let routing = Routing::open()?;
        for id in raised {
            let bridge = self.find(id).ok().and_then(|network| network.bridge());
            if let Some(bridge) = bridge
                && let Some(link) = routing.find(&bridge.device)?
            {
                let index = link.index;
                kernel.bridges.insert(id.clone(), Raised { bridge, index });
            }
        }
        self.install_rules(&mut kernel)
    }

    /// The bridge of a network, made if need be.
    fn raise(
        &self,
        kernel: &mut Kernel,
        routing: &Routing,
        network: &Network,
    ) -> Result<(Bridge, u32)> {
        if let Some(raised) = kernel.bridges.get(&network.id) {
            return Ok((raised.bridge.clone(), raised.index));
        }
        let bridge = network
            .bridge()
            .ok_or_else(|| crate::Error::NoSuchNetwork(network.name.clone()))?;
        kernel.mark()?;
        let mac = bridge
            .addresses
            .first()
            .map_or([2, 0x42, 0, 0, 0, 1], |cidr| mac_address(cidr.address));
        let index = routing.bridge(&bridge.device, Mac(mac), bridge.mtu, &bridge.addresses)?;
        // Packets to 127.0.0.1 with a published port leave by it; see `coracle_container_network::rules`.
        set(
            &format!("net/ipv4/conf/{}/route_localnet", bridge.device),
            "1",
        )?;
        if !bridge.internal {
            set("net/ipv4/ip_forward", "1")?;
            if bridge.addresses.iter().any(|cidr| cidr.is_ipv6()) {
                set("net/ipv6/conf/all/forwarding", "1")?;
            }
        }
        let raised = Raised {
            bridge: bridge.clone(),
            index,
        };
        kernel.bridges.insert(network.id.clone(), raised);
        Ok((bridge, index))
    }

    /// Takes the endpoints' interfaces away. They are no longer wanted: problems are only reported.
    pub(super) fn detach(&self, endpoints: &[Endpoint]) {
        let remove = || {
            let routing = Routing::open()?;
            endpoints
                .iter()
                .try_for_each(|endpoint| routing.remove(&endpoint.host_interface()))
        };
        if let Err(error) = remove() {
            tracing::warn!("{error}");
        }
    }

    /// Makes the rules those of the present state.
    pub(super) fn update_rules(&self) {
        if let Err(error) = self.install_rules(&mut self.kernel()) {
            tracing::error!("{error}");
        }
    }

    fn install_rules(&self, kernel: &mut Kernel) -> Result<()> {
        if kernel.bridges.is_empty() {
            if kernel.table.take().is_some() {
                Table::remove(rules::TABLE)?;
            }
            return Ok(());
        }
        let bridges: Vec<Bridge> = kernel
            .bridges
            .values()
            .map(|raised| raised.bridge.clone())
            .collect();
        let table = {
            let state = self.state();
            let mut endpoints: Vec<&Endpoint> = state
                .endpoints
                .values()
                .flatten()
                .filter(|endpoint| !endpoint.ports.is_empty())
                .collect();
            endpoints.sort_by_key(|endpoint| &endpoint.id);
            rules::table(&bridges, endpoints.into_iter())
        };
        if kernel.table.as_ref() != Some(&table) {
            table.install()?;
            kernel.table = Some(table);
        }
        Ok(())
    }

    /// Removes what was made of a network: its bridge, or the parent of its interfaces.
    pub(super) fn lower(&self, network: &Network) -> Result<()> {
        let mut kernel = self.kernel();
        if let Some(raised) = kernel.bridges.get(&network.id) {
            Routing::open()?.remove(&raised.bridge.device)?;
            kernel.bridges.remove(&network.id);
            self.install_rules(&mut kernel)?;
        }
        if let Some(upper) = Upper::parse(network)? {
            Routing::open()?.remove_marked(&upper.parent, &mark(&network.id))?;
        }
        Ok(())
    }

    /// Before its first use: where the machine itself has the addresses of a network by now (User Docker, for one, takes what is free),
    /// the network gets others, unless a client has chosen them.
    pub(super) fn settle(&self, reference: &str) -> Result<()> {
        let network = self.find(reference)?;
        if network.driver != Driver::Bridge || self.kernel().bridges.contains_key(&network.id) {
            return Ok(());
        }
        let avoid = machine_networks()?;
        let mut state = self.state();
        let changed = settle(&mut state, &network.id, &avoid)?;
        match changed {
            Some(network) if !network.is_predefined() => {
                disk::write_json(&self.file(&network.id), &network, Durability::Synced)
            }
            _ => Ok(()),
        }
    }
}

/// Gives a network that nobody uses other addresses if the machine has them. Gives the network when it was changed.
fn settle(state: &mut State, id: &str, avoid: &[Cidr]) -> Result<Option<Network>> {
    let in_use = state
        .endpoints
        .values()
        .flatten()
        .any(|endpoint| endpoint.network == id);
    let Some(network) = state.networks.get(id).filter(|_| !in_use) else {
        return Ok(None);
    };
    let collides =
        |pool: &Pool| !pool.configured && avoid.iter().any(|other| other.overlaps(pool.subnet));
    if !network.pools.iter().any(collides) {
        return Ok(None);
    }
    let mut network = network.clone();
    let taken = state.subnets();
    for pool in network.pools.iter_mut().filter(|pool| collides(pool)) {
        let old = pool.subnet;
        *pool = CheckedRequest::default().reserve(&taken, avoid)?;
        tracing::warn!(
            "the machine has network {old} already: network {} becomes {}",
            network.name,
            pool.subnet
        );
    }
    state.networks.insert(id.to_owned(), network.clone());
    Ok(Some(network))
}

/// The alias of interfaces of the machine that were made for a network, and go with it.
fn mark(network: &str) -> String {
    format!("network {network}")
}

/// In the container's namespace: addresses of new interfaces, and the default routes of all.
fn configure(
    routing: &Routing,
    endpoints: &[Endpoint],
    all: &[(String, Endpoint)],
) -> coracle_container_network::Result<()> {
    routing.raise_loopback()?;
    for endpoint in endpoints {
        if endpoint.address(true).is_none() {
            // Docker: without an address of the network none of the kernel's making either. A kernel without IPv6 has no such file.
            let _ = set(
                &format!("net/ipv6/conf/{}/disable_ipv6", endpoint.interface),
                "1",
            );
        }
        routing.configure(&endpoint.interface, &endpoint.addresses)?;
        for (name, value) in &endpoint.sysctls {
            set(name, value)?;
        }
    }
    route(routing, all)
}

/// Lets the default routes lead where the container's networks say.
pub(super) fn route(
    routing: &Routing,
    all: &[(String, Endpoint)],
) -> coracle_container_network::Result<()> {
    for is_ipv6 in [false, true] {
        let Some(endpoint) = default_route(named(all), is_ipv6) else {
            continue;
        };
        if let (Some(gateway), Some(link)) = (
            endpoint.gateway(is_ipv6),
            routing.find(&endpoint.interface)?,
        ) {
            routing.set_default_route(gateway, link.index)?;
        }
    }
    Ok(())
}

/// Writes a kernel parameter of the calling thread's network namespace, unless it has that value.
fn set(name: &str, value: &str) -> coracle_container_network::Result<()> {
    let path = format!("/proc/sys/{name}");
    if fs::read_to_string(&path).is_ok_and(|text| text.trim() == value) {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| coracle_container_network::Error::Kernel {
        what: format!("write {value} to {path}"),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{DefaultBridge, predefined, predefined_id};
    use super::*;

    #[test]
    fn the_default_network_gives_way_to_the_machines() {
        let id = predefined_id("bridge");
        for (avoid, expected) in [
            (&[][..], "172.18.0.0/16"),
            (&["10.0.0.0/8", "172.17.0.0/16"], "172.18.0.0/16"),
            (&["172.17.0.0/16", "172.18.5.0/24"], "172.19.0.0/16"),
        ] {
            let mut state = State::default();
            for network in predefined("", Some(&DefaultBridge::default())) {
                state.networks.insert(network.id.clone(), network);
            }
            let avoid: Vec<_> = avoid.iter().map(|text| text.parse().unwrap()).collect();
            let changed = settle(&mut state, &id, &avoid).unwrap();
            assert_eq!(changed.is_some(), expected != "172.18.0.0/16");
            assert_eq!(state.networks[&id].pools[0].subnet.to_string(), expected);
        }
    }
}
