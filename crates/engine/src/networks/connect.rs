//! Connecting containers to networks and disconnecting them, also while they run.

use std::sync::Arc;

use bollard_stubs::models::EndpointSettings;
use coracle_container_network::{Driver, Endpoint, Namespace, Network, Routing};
use rustix::process::Pid;

use super::endpoints::{NONE, SHARED};
use super::join::servers;
use super::{check_ports, endpoint_settings, kernel};
use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::namespaces::{Mode, Modes};
use crate::record::Record;

impl Engine {
    /// Every network.
    pub fn networks(&self) -> &super::Networks {
        &self.networks
    }

    /// Connects a container to a network.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn connect_network(
        self: &Arc<Self>,
        network: &str,
        container: &str,
        settings: EndpointSettings,
    ) -> Result<()> {
        let network = self.networks.find(network)?;
        let container = self.find(container)?;
        let _guard = container.operation.lock().await;
        let (engine, target) = (Arc::clone(self), Arc::clone(&container));
        blocking(move || engine.connect_blocking(&network, &target, settings)).await?
    }

    fn connect_blocking(
        &self,
        network: &Network,
        container: &Arc<Container>,
        settings: EndpointSettings,
    ) -> Result<()> {
        let (mut record, pid) = changeable(container)?;
        if matches!(Modes::parse(&record.host_config)?.net, Mode::Container(_)) {
            return Err(Error::Invalid(SHARED.into()));
        }
        if network.driver == Driver::Host && record.network_mode() != "host" {
            return Err(Error::Invalid(
                "cannot connect container to host network - container must be created in host network mode".into(),
            ));
        }
        endpoint_settings::check(Some(network), &network.name, &settings)?;
        let present = record.networking.endpoints_config.get_or_insert_default();
        // Under the name; a client may have created the container with the id.
        let was_there = present.remove(&network.id).is_some() | present.contains_key(&network.name);
        if was_there && pid.is_none() {
            return Ok(());
        }
        let others: Vec<String> = present
            .keys()
            .filter(|name| **name != network.name)
            .cloned()
            .collect();
        for other in &others {
            let Ok(other) = self.networks.find(other) else {
                continue;
            };
            if network.driver == Driver::Null || other.driver == Driver::Null {
                return Err(Error::Invalid(NONE.into()));
            }
            if other.driver == Driver::Host {
                return Err(Error::Invalid(SHARED.into()));
            }
        }
        present.insert(network.name.clone(), settings.clone());
        let mut joined = None;
        if let Some(pid) = pid
            && let Some(endpoint) = self.networks.join(&record, &network.name, &settings)?
        {
            let ports = check_ports(&record.config, &record.host_config)?;
            if let Err(error) = self.plug(&record, &endpoint, &ports, &Namespace::of(pid)?) {
                self.networks.leave(&record.id, &network.id);
                self.networks.update_rules();
                return Err(error);
            }
            joined = Some(endpoint);
        }
        container.data().record.networking = record.networking.clone();
        container.save_record()?;
        if let Some(endpoint) = joined {
            self.update_network_files(container, &endpoint, true);
            self.network_event(network, "connect", Some(&record.id));
        }
        Ok(())
    }

    fn plug(
        &self,
        record: &Record,
        endpoint: &Endpoint,
        ports: &[coracle_container_network::PortRequest],
        namespace: &Namespace,
    ) -> Result<()> {
        self.networks.publish_again(record, ports)?;
        let all = self.networks.endpoints_of(&record.id);
        self.networks.attach(
            std::slice::from_ref(endpoint),
            &all,
            namespace,
            &servers(record),
        )
    }

    /// Disconnects a container from a network.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn disconnect_network(
        self: &Arc<Self>,
        network: &str,
        container: &str,
        force: bool,
    ) -> Result<()> {
        let network = self.networks.find(network)?;
        let container = match self.find(container) {
            // A container that is gone has no endpoint left that could be removed by force.
            Err(Error::NoSuchContainer(_)) if force => return Ok(()),
            found => found?,
        };
        let _guard = container.operation.lock().await;
        let (engine, target) = (Arc::clone(self), Arc::clone(&container));
        blocking(move || engine.disconnect_blocking(&network, &target)).await?
    }

    fn disconnect_blocking(&self, network: &Network, container: &Arc<Container>) -> Result<()> {
        let (mut record, pid) = changeable(container)?;
        if network.driver == Driver::Host && record.network_mode() == "host" && pid.is_some() {
            return Err(Error::Invalid(
                "cannot disconnect container from host network - container was created in host network mode".into(),
            ));
        }
        let present = record.networking.endpoints_config.get_or_insert_default();
        if present.remove(&network.name).is_none() & present.remove(&network.id).is_none() {
            let the = if pid.is_some() { "" } else { "the " };
            return Err(Error::Internal(format!(
                "container {} is not connected to {the}network {}",
                record.id, network.name
            )));
        }
        container.data().record.networking = record.networking.clone();
        container.save_record()?;
        let Some(pid) = pid else {
            return Ok(());
        };
        if let Some(endpoint) = self.networks.leave(&record.id, &network.id) {
            self.networks.detach(std::slice::from_ref(&endpoint));
            // Another network may take over the ports and the default route.
            let ports = check_ports(&record.config, &record.host_config)?;
            let published = self.networks.publish_again(&record, &ports);
            self.networks.update_rules();
            let all = self.networks.endpoints_of(&record.id);
            Namespace::of(pid)?.run(|| {
                let routing = Routing::open()?;
                // What is no pair has no other end that could be removed outside.
                routing.remove(&endpoint.interface)?;
                kernel::route(&routing, &all)
            })?;
            self.update_network_files(container, &endpoint, false);
            published?;
        }
        self.network_event(network, "disconnect", Some(&record.id));
        Ok(())
    }
}

/// A container's record, and the pid of its process when it runs.
fn changeable(container: &Container) -> Result<(Record, Option<Pid>)> {
    let data = container.data();
    if data.removing {
        return Err(Error::Internal(format!(
            "Container {} is marked for removal and cannot be connected or disconnected to the network",
            container.id()
        )));
    }
    let pid = data.running.as_ref().map(|running| running.pid);
    Ok((data.record.clone(), pid))
}
