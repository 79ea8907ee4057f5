//! A container's start and end, as its networks see them.

use std::sync::Arc;

use coracle_container_network::{Namespace, Routing};
use rustix::process::Pid;

use super::check_ports;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::namespaces::{Mode, Modes};
use crate::record::Record;

impl Engine {
    /// Gives a container that starts its addresses and ports; nothing of the kernel is changed yet.
    ///
    /// # Errors
    /// Docker's texts.
    pub(crate) fn allocate_networks(&self, record: &Record) -> Result<()> {
        if matches!(Modes::parse(&record.host_config)?.net, Mode::Container(_)) {
            return Ok(());
        }
        let ports = check_ports(&record.config, &record.host_config)?;
        self.networks
            .allocate(record, &ports)
            .map(drop)
            .map_err(|error| match error {
                Error::NoSuchNetwork(name) => {
                    Error::MissingForStart(starting(&format!("network {name} not found")))
                }
                Error::Invalid(text) => Error::Invalid(starting(&text)),
                Error::Forbidden(text) => Error::Forbidden(starting(&text)),
                other => Error::Internal(starting(&other.to_string())),
            })
    }

    /// Makes the interfaces of a container whose first process exists but has not begun its program. Blocks.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn attach_networks(&self, container: &Arc<Container>, pid: Pid) -> Result<()> {
        let record = container.data().record.clone();
        let mode = Modes::parse(&record.host_config)?.net;
        if !matches!(mode, Mode::Private | Mode::Network(_)) {
            return Ok(());
        }
        let namespace = Namespace::of(pid)?;
        let all = self.networks.endpoints_of(&record.id);
        if all.is_empty() {
            namespace.run(|| Routing::open()?.raise_loopback())?;
            return Ok(());
        }
        let endpoints: Vec<_> = all.iter().map(|(_, endpoint)| endpoint.clone()).collect();
        self.networks
            .attach(&endpoints, &all, &namespace, &servers(&record))
            .map_err(|error| Error::Internal(starting(&error.to_string())))?;
        for endpoint in &endpoints {
            if let Ok(network) = self.networks.find(&endpoint.network) {
                self.network_event(&network, "connect", Some(&record.id));
            }
        }
        Ok(())
    }

    /// Takes the interfaces, addresses and ports of a container back. Blocks.
    pub(crate) fn release_networks(&self, record: &Record) {
        self.networks.name_servers().remove(&record.id);
        let endpoints = self.networks.release(&record.id);
        if endpoints.is_empty() {
            return;
        }
        self.networks.detach(&endpoints);
        if endpoints.iter().any(|endpoint| !endpoint.ports.is_empty()) {
            self.networks.update_rules();
        }
        for endpoint in &endpoints {
            if let Ok(network) = self.networks.find(&endpoint.network) {
                self.network_event(&network, "disconnect", Some(&record.id));
            }
        }
    }
}

/// The name servers that a container's questions go to, instead of the machine's.
pub(super) fn servers(record: &Record) -> Vec<String> {
    record.host_config.dns.clone().unwrap_or_default()
}

fn starting(text: &str) -> String {
    format!("failed to set up container networking: {text}")
}
