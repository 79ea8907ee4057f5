//! Which networks a container is in, as clients see it.

use bollard_stubs::models::EndpointSettings;
use coracle_container_network::{Driver, Endpoint, Network};

use super::endpoint_settings::ordered;
use crate::engine::Engine;
use crate::record::Record;

/// A container and one of its networks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    /// Name of the network, as the container's configuration has it.
    pub network: String,
    /// Its id; empty when it does not exist.
    pub id: String,
    /// What was asked for.
    pub settings: EndpointSettings,
    /// What the container has while it runs; nothing in the networks `host` and `none`.
    pub endpoint: Option<Endpoint>,
    /// Whether neighbours find it by name there.
    pub has_names: bool,
}

impl Engine {
    /// The running containers in a network: names and endpoints. Those without one (in `host` and `none`) have an empty endpoint.
    pub fn network_members(&self, network: &Network) -> Vec<(String, Endpoint)> {
        let name = |id: &str| {
            self.find(id)
                .map(|container| container.name())
                .unwrap_or_default()
        };
        if network.driver == Driver::Bridge {
            let endpoints = self.networks.endpoints_in(&network.id).into_iter();
            return endpoints
                .map(|endpoint| (name(&endpoint.container), endpoint))
                .collect();
        }
        let mut members = Vec::new();
        for container in self.all() {
            let data = container.data();
            if data.state.status.is_active() && data.record.network_mode() == network.name {
                let endpoint = Endpoint {
                    container: data.record.id.clone(),
                    network: network.id.clone(),
                    ..Endpoint::default()
                };
                members.push((data.record.name.clone(), endpoint));
            }
        }
        members
    }

    /// The networks of a container that runs or not, that of its mode first.
    pub fn connections(&self, record: &Record) -> Vec<Connection> {
        let mut asked = ordered(record);
        let mode = record.network_mode();
        if asked.is_empty() && !mode.starts_with("container:") {
            asked.push((mode.to_owned(), EndpointSettings::default()));
        }
        let endpoints = self.networks.endpoints_of(&record.id);
        let connection = |(name, settings): (String, EndpointSettings)| {
            let network = self.networks.find(&name).ok();
            let id = network
                .as_ref()
                .map(|network| network.id.clone())
                .unwrap_or_default();
            let has_names = network.as_ref().is_some_and(Network::has_name_server);
            Connection {
                endpoint: endpoints
                    .iter()
                    .find(|(_, endpoint)| endpoint.network == id)
                    .map(|(_, endpoint)| endpoint.clone()),
                network: network.map_or(name, |network| network.name),
                id,
                settings,
                has_names,
            }
        };
        asked.into_iter().map(connection).collect()
    }
}
