//! Networks: which there are, which containers are in them, and what the kernel has of them.
//!
//! Networks are kept under `<root>/networks/<id>.json`; the endpoints of running containers in memory only, as a container gets new ones
//! at each start. A bridge is made when the first container needs it: networks that nobody uses cost no time at boot.

mod connect;
mod connection;
mod endpoint_settings;
mod endpoints;
mod files;
mod handover;
mod join;
mod kernel;
mod name_server;
mod options;
mod request;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use coracle_container_network::ipam::Pool;
use coracle_container_network::{
    Cidr, Driver, Endpoint, HostPorts, Network, Routing, Upper, is_predefined,
};

pub use connection::Connection;
pub use endpoint_settings::normalize;
pub(crate) use handover::NetworksState;
pub use options::{check, warning};
/// What networks, endpoints and ports are made of.
pub mod model {
    pub use coracle_container_network::ipam::Pool;
    pub use coracle_container_network::{
        Cidr, ContainerPort, Driver, Endpoint, Mac, Network, Protocol, Published,
    };
}
pub use request::{PruneFilter, check_ports, exposed_ports};

use self::name_server::NameServer;
use crate::disk::{self, Durability};
use crate::error::{Doing, Error, Result};

/// The default network's bridge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DefaultBridge {
    /// Name of the device. Not `docker0`: that one is User Docker's.
    pub device: String,
    /// Its address; where the machine has that network otherwise, another one is taken.
    pub address: Cidr,
}

impl Default for DefaultBridge {
    /// RancherOS's (inventory B3-042).
    fn default() -> Self {
        Self {
            device: "docker-sys".to_owned(),
            address: Cidr {
                address: IpAddr::from([172, 18, 42, 1]),
                prefix: 16,
            },
        }
    }
}

impl DefaultBridge {
    /// The bridge by dockerd's options `bridge` (`none`: there is no such network) and `bip`; what is not given has its default.
    ///
    /// # Errors
    /// When `bip` is no address with a prefix, or leaves no address to containers.
    pub fn configured(bridge: Option<&str>, bip: Option<&str>) -> Result<Option<Self>> {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let mut default = Self::default();
        if let Some(text) = given(bip) {
            let address = text.parse::<Cidr>().ok();
            default.address = address
                .filter(|cidr| !cidr.is_ipv6() && !cidr.is_network() && cidr.prefix < 31)
                .ok_or_else(|| {
                    Error::Invalid(format!(
                        "bip {text}: give an IPv4 address with a prefix, such as {}",
                        default.address
                    ))
                })?;
        }
        if let Some(device) = given(bridge) {
            default.device = device;
        }
        Ok((default.device != "none").then_some(default))
    }
}

/// All networks.
#[derive(Debug)]
pub struct Networks {
    dir: PathBuf,
    state: Mutex<State>,
    kernel: Mutex<kernel::Kernel>,
    /// By the container's id.
    name_servers: Mutex<HashMap<String, NameServer>>,
}

/// What is known without asking the kernel.
#[derive(Debug, Default)]
struct State {
    /// By id.
    networks: BTreeMap<String, Network>,
    /// Of running containers, by the container's id.
    endpoints: HashMap<String, Vec<Endpoint>>,
    ports: HostPorts,
}

impl Networks {
    /// Reads the networks under `dir`, and removes what an engine that did not end well has left in the kernel. `marker` exists from the
    /// first bridge on until the machine is switched off. Without `bridge` there is no default network with a bridge. With `goes_on`
    /// everything in the kernel is left alone, as [`Networks::take_over`] follows.
    ///
    /// # Errors
    /// When the directory cannot be made or listed.
    pub fn open(
        dir: PathBuf,
        marker: PathBuf,
        created: &str,
        bridge: Option<&DefaultBridge>,
        goes_on: bool,
    ) -> Result<Self> {
        fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()))?;
        disk::remove_unfinished(&dir);
        let mut state = State::default();
        for network in predefined(created, bridge) {
            state.networks.insert(network.id.clone(), network);
        }
        for entry in fs::read_dir(&dir)
            .doing(|| format!("list {}", dir.display()))?
            .flatten()
        {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match disk::read_json::<Network>(&path) {
                Ok(network) => drop(state.networks.insert(network.id.clone(), network)),
                Err(error) => tracing::error!("network left out: {error}"),
            }
        }
        if goes_on {
            return Ok(Self::in_use(dir, state, marker));
        }
        let kernel = kernel::Kernel::new(marker, &state.networks);
        Ok(Self {
            dir,
            state: Mutex::new(state),
            kernel: Mutex::new(kernel),
            name_servers: Mutex::default(),
        })
    }

    fn name_servers(&self) -> MutexGuard<'_, HashMap<String, NameServer>> {
        self.name_servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A container has another name from now on.
    pub(crate) fn rename(&self, container: &str, old: &str, new: &str) {
        let mut state = self.state();
        let endpoints = state.endpoints.get_mut(container).into_iter().flatten();
        for name in endpoints
            .flat_map(|endpoint| &mut endpoint.names)
            .filter(|name| *name == old)
        {
            new.clone_into(name);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The network with this id, name or unambiguous beginning of an id, in this order.
    ///
    /// # Errors
    /// Docker's texts when none or several fit.
    pub fn find(&self, reference: &str) -> Result<Network> {
        self.state().find(reference).cloned()
    }

    /// Every network, by name.
    pub fn list(&self) -> Vec<Network> {
        let mut list: Vec<_> = self.state().networks.values().cloned().collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// The endpoints of a running container with the names of their networks, the first interface first.
    pub fn endpoints_of(&self, container: &str) -> Vec<(String, Endpoint)> {
        let state = self.state();
        let named = |endpoint: &Endpoint| {
            let network = state.networks.get(&endpoint.network)?;
            Some((network.name.clone(), endpoint.clone()))
        };
        state
            .endpoints
            .get(container)
            .into_iter()
            .flatten()
            .filter_map(named)
            .collect()
    }

    /// The endpoints in a network.
    pub fn endpoints_in(&self, network: &str) -> Vec<Endpoint> {
        let state = self.state();
        let all = state.endpoints.values().flatten();
        let mut list: Vec<_> = all
            .filter(|endpoint| endpoint.network == network)
            .cloned()
            .collect();
        list.sort_by(|a, b| a.addresses.cmp(&b.addresses));
        list
    }

    /// Keeps a new network; `pools` gives its addresses, with a view of those that are taken.
    fn add(
        &self,
        mut network: Network,
        pools: impl FnOnce(&[Cidr], &[Cidr]) -> Result<Vec<Pool>>,
    ) -> Result<Network> {
        let avoid = machine_networks()?;
        let mut state = self.state();
        if state
            .networks
            .values()
            .any(|other| other.name == network.name)
        {
            return Err(Error::Conflict(format!(
                "network with name {} already exists",
                network.name
            )));
        }
        let taken = state.subnets();
        network.pools = pools(&taken, &avoid)?;
        if let Some(bridge) = network.bridge() {
            let has_device = |other: &Network| {
                other
                    .bridge()
                    .is_some_and(|other| other.device == bridge.device)
            };
            if let Some(other) = state.networks.values().find(|other| has_device(other)) {
                return Err(Error::Forbidden(format!(
                    "cannot create network {} ({}): conflicts with network {} ({}): networks have same bridge name",
                    network.id, bridge.device, other.id, bridge.device
                )));
            }
        }
        if let Some(upper) = Upper::parse(&network)? {
            let has_parent = |other: &&Network| {
                other.driver == network.driver
                    && Upper::parse(other)
                        .is_ok_and(|other| other.is_some_and(|other| other.parent == upper.parent))
            };
            if let Some(other) = state.networks.values().find(has_parent) {
                return Err(Error::Forbidden(format!(
                    "network {} is already using parent interface {}",
                    other.name, upper.parent
                )));
            }
        }
        disk::write_json(&self.file(&network.id), &network, Durability::Synced)?;
        state.networks.insert(network.id.clone(), network.clone());
        Ok(network)
    }

    /// Forgets a network that nobody uses.
    fn forget(&self, reference: &str) -> Result<Network> {
        let network = {
            let mut state = self.state();
            let network = state.find(reference)?.clone();
            if is_predefined(&network.name) {
                return Err(Error::Forbidden(format!(
                    "{} is a pre-defined network and cannot be removed",
                    network.name
                )));
            }
            let users: Vec<String> = state
                .endpoints
                .values()
                .flatten()
                .filter(|endpoint| endpoint.network == network.id)
                .map(|endpoint| {
                    let name = endpoint.names.first().map_or("", String::as_str);
                    format!("name:\"{name}\" id:\"{}\"", crate::id::short(&endpoint.id))
                })
                .collect();
            if !users.is_empty() {
                return Err(Error::Forbidden(format!(
                    "error while removing network: network {} has active endpoints ({})",
                    network.name,
                    users.join(", ")
                )));
            }
            state.networks.remove(&network.id);
            network
        };
        let file = self.file(&network.id);
        // The bridge first: should that be cut short, the network is still there to be removed again.
        let removed = self
            .lower(&network)
            .and_then(|()| fs::remove_file(&file).doing(|| format!("remove {}", file.display())));
        if let Err(error) = removed {
            self.state().networks.insert(network.id.clone(), network);
            return Err(error);
        }
        Ok(network)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}

impl State {
    fn find(&self, reference: &str) -> Result<&Network> {
        let all = || self.networks.values();
        if let Some(network) = self
            .networks
            .get(reference)
            .or_else(|| all().find(|network| network.name == reference))
        {
            return Ok(network);
        }
        let by_prefix: Vec<_> = all()
            .filter(|network| !reference.is_empty() && network.id.starts_with(reference))
            .collect();
        match by_prefix.as_slice() {
            [network] => Ok(network),
            [] => Err(Error::NoSuchNetwork(reference.to_owned())),
            many => Err(Error::Invalid(format!(
                "network {reference} is ambiguous ({} matches found based on ID prefix)",
                many.len()
            ))),
        }
    }

    fn subnets(&self) -> Vec<Cidr> {
        let pools = self.networks.values().flat_map(|network| &network.pools);
        pools.map(|pool| pool.subnet).collect()
    }
}

/// A container's endpoints with their networks' names, to choose among.
fn named(endpoints: &[(String, Endpoint)]) -> impl Iterator<Item = (&str, &Endpoint)> {
    endpoints
        .iter()
        .map(|(network, endpoint)| (network.as_str(), endpoint))
}

/// What the machine reaches by itself, and what User Docker's default bridge will have as soon as User Docker runs.
fn machine_networks() -> Result<Vec<Cidr>> {
    let user_docker = Cidr {
        address: IpAddr::from([172, 17, 0, 0]),
        prefix: 16,
    };
    let mut networks = Routing::open()?.networks()?;
    networks.push(user_docker);
    Ok(networks)
}

/// The id of a network that is always there: the same on every machine.
pub fn predefined_id(name: &str) -> String {
    let letters: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{letters:0<64}")
}

fn predefined(created: &str, bridge: Option<&DefaultBridge>) -> Vec<Network> {
    let network = |name: &str, driver| {
        Network::new(
            predefined_id(name),
            name.to_owned(),
            created.to_owned(),
            driver,
        )
    };
    let mut all = vec![network("host", Driver::Host), network("none", Driver::Null)];
    if let Some(bridge) = bridge {
        let mut default = network("bridge", Driver::Bridge);
        default.pools = vec![Pool {
            subnet: bridge.address.network(),
            range: None,
            gateway: bridge.address.address,
            auxiliary: BTreeMap::new(),
            configured: false,
        }];
        default.options = [
            ("com.docker.network.bridge.default_bridge", "true"),
            ("com.docker.network.bridge.enable_icc", "true"),
            ("com.docker.network.bridge.enable_ip_masquerade", "true"),
            ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
            ("com.docker.network.bridge.name", &bridge.device),
            ("com.docker.network.driver.mtu", "1500"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        all.push(default);
    }
    all
}

impl From<coracle_container_network::Error> for Error {
    fn from(error: coracle_container_network::Error) -> Self {
        use coracle_container_network::Error as Network;
        match error {
            Network::Invalid(text) => Self::Invalid(text),
            Network::Forbidden(text) => Self::Forbidden(text),
            Network::NotFound(text) => Self::MissingForStart(text),
            Network::Unavailable(text) => Self::Internal(text),
            Network::Kernel { what, source } => Self::Io { what, source },
        }
    }
}

/// Whether a marker of an earlier engine of this boot exists.
fn exists(marker: &Path) -> bool {
    marker.try_exists().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Networks {
        let bridge = DefaultBridge::default();
        Networks::open(
            dir.join("networks"),
            dir.join("marker"),
            "2026-01-01T00:00:00Z",
            Some(&bridge),
            false,
        )
        .unwrap()
    }

    fn user_network(name: &str) -> Network {
        Network {
            id: predefined_id(name),
            name: name.to_owned(),
            options: BTreeMap::new(),
            pools: Vec::new(),
            ..predefined("2026-01-01T00:00:00Z", Some(&DefaultBridge::default())).remove(2)
        }
    }

    #[test]
    fn networks_are_found_by_id_name_and_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(dir.path());
        networks
            .add(user_network("none2"), |_, _| Ok(Vec::new()))
            .unwrap();
        for (reference, expected) in [
            ("host", Ok("host")),
            ("bridge", Ok("bridge")),
            (&predefined_id("none")[..], Ok("none")),
            (&predefined_id("none")[..9], Ok("none")),
            (
                "6e6f6e65",
                Err("network 6e6f6e65 is ambiguous (2 matches found based on ID prefix)"),
            ),
            ("foo", Err("network foo not found")),
            ("", Err("network  not found")),
        ] {
            let found = networks
                .find(reference)
                .map(|network| network.name)
                .map_err(|error| error.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned));
        }
    }

    #[test]
    fn networks_are_kept_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(dir.path());
        let foo = networks
            .add(user_network("foo"), |_, _| Ok(Vec::new()))
            .unwrap();
        assert_eq!(
            networks
                .add(user_network("foo"), |_, _| Ok(Vec::new()))
                .unwrap_err()
                .to_string(),
            "network with name foo already exists"
        );
        fs::write(dir.path().join("networks/damaged.json"), "{").unwrap();
        let again = open(dir.path());
        assert_eq!(again.find("foo").unwrap(), foo);
        assert_eq!(again.list().len(), 4);
        again.forget("foo").unwrap();
        assert_eq!(open(dir.path()).list().len(), 3);
        for (name, expected) in [
            (
                "bridge",
                "bridge is a pre-defined network and cannot be removed",
            ),
            ("foo", "network foo not found"),
        ] {
            assert_eq!(again.forget(name).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_default_bridge_is_configured_as_dockerds() {
        let shown = |bridge, bip| {
            let configured =
                DefaultBridge::configured(bridge, bip).map_err(|error| error.to_string())?;
            Ok(configured.map(|bridge| format!("{} {}", bridge.device, bridge.address)))
        };
        let wrong = |text| {
            Err(format!(
                "bip {text}: give an IPv4 address with a prefix, such as 172.18.42.1/16"
            ))
        };
        for (bridge, bip, expected) in [
            (None, None, Ok(Some("docker-sys 172.18.42.1/16".to_owned()))),
            (
                Some(""),
                Some(""),
                Ok(Some("docker-sys 172.18.42.1/16".to_owned())),
            ),
            (
                Some("br0"),
                Some("10.9.0.1/24"),
                Ok(Some("br0 10.9.0.1/24".to_owned())),
            ),
            (Some("none"), None, Ok(None)),
            (None, Some("x"), wrong("x")),
            (None, Some("10.9.0.0/24"), wrong("10.9.0.0/24")),
            (None, Some("fd00::1/64"), wrong("fd00::1/64")),
        ] {
            assert_eq!(shown(bridge, bip), expected);
        }
    }

    #[test]
    fn two_networks_never_share_a_bridge() {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(dir.path());
        let mut foo = user_network("foo");
        foo.options
            .insert("com.docker.network.bridge.name".into(), "docker-sys".into());
        let error = networks
            .add(foo, |_, _| Ok(Vec::new()))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("networks have same bridge name"), "{error}");
    }
}
