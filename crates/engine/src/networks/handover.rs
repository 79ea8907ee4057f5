//! Networks while the engine hands over to its successor: interfaces and rules stay in the kernel as they are; what the engine knows of
//! them, and the sockets that it holds, go along.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use coracle_container_network::{Endpoint, HostPorts, Network, Protocol};
use serde::{Deserialize, Serialize};

use super::name_server::Sockets;
use super::{Networks, State, kernel};
use crate::handover::{Inherited, Keeper, Number};

/// What goes along of all networks.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworksState {
    /// Those that are not on disk.
    pub predefined: Vec<Network>,
    /// Endpoints of running containers, by the container's id.
    pub endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// Ids of the networks whose bridges are up.
    pub raised: Vec<String>,
    /// The machine's ports that are held.
    pub ports: Vec<HeldPort>,
    /// The port that was given last without being asked for.
    pub last_port: u16,
    /// Name servers of containers.
    pub name_servers: Vec<NameServerState>,
}

/// A published port.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct HeldPort {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its address.
    pub address: SocketAddr,
    /// The socket that holds it.
    pub socket: Number,
}

/// A container's name server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NameServerState {
    /// Id of the container.
    pub container: String,
    /// Whom it asks instead of the machine's servers.
    pub servers: Vec<String>,
    /// Its sockets, in the container's namespace.
    pub udp: Number,
    /// See `udp`.
    pub tcp: Number,
}

impl Networks {
    /// What a successor needs.
    ///
    /// # Errors
    /// When there is no room for a descriptor.
    pub fn hand_over(&self, keeper: &mut Keeper) -> std::io::Result<NetworksState> {
        let mut name_servers = Vec::new();
        for (container, server) in self.name_servers().iter() {
            let (servers, udp, tcp) = server.copy()?;
            name_servers.push(NameServerState {
                container: container.clone(),
                servers,
                udp: keeper.keep(udp),
                tcp: keeper.keep(tcp),
            });
        }
        let raised = self.raised();
        let state = self.state();
        let mut ports = Vec::new();
        for (protocol, address, socket) in state.ports.copies()? {
            ports.push(HeldPort {
                protocol,
                address,
                socket: keeper.keep(socket),
            });
        }
        let networks = state.networks.values();
        Ok(NetworksState {
            predefined: networks
                .filter(|network| network.is_predefined())
                .cloned()
                .collect(),
            endpoints: state.endpoints.clone().into_iter().collect(),
            raised,
            ports,
            last_port: state.ports.last(),
            name_servers,
        })
    }

    /// Takes over from a predecessor. Call it inside the runtime.
    pub fn take_over(self: &Arc<Self>, from: NetworksState, inherited: &mut Inherited) {
        {
            let mut state = self.state();
            for network in from.predefined {
                state.networks.insert(network.id.clone(), network);
            }
            let held = from.ports.into_iter().filter_map(|port| {
                Some((port.protocol, port.address, inherited.take(port.socket)?))
            });
            let State {
                endpoints, ports, ..
            } = &mut *state;
            *ports = HostPorts::inherited(held, from.last_port);
            endpoints.extend(from.endpoints);
        }
        if let Err(error) = self.take_over_bridges(&from.raised) {
            tracing::error!("take over networks: {error}");
        }
        for server in from.name_servers {
            let sockets = inherited.take(server.udp).zip(inherited.take(server.tcp));
            let Some((udp, tcp)) = sockets else {
                tracing::error!("the name server of container {} is lost", server.container);
                continue;
            };
            let sockets = Sockets::inherited(udp, tcp);
            if let Err(error) = self.serve_names(&server.container, &server.servers, sockets) {
                tracing::error!("{error}");
            }
        }
    }
}

impl Networks {
    /// Networks whose interfaces and rules are those of a predecessor.
    pub(super) fn in_use(
        dir: std::path::PathBuf,
        state: State,
        marker: std::path::PathBuf,
    ) -> Self {
        Self {
            dir,
            state: Mutex::new(state),
            kernel: Mutex::new(kernel::Kernel::in_use(marker)),
            name_servers: Mutex::default(),
        }
    }
}
