//! The files of a container that depend on its networks: `/etc/hosts` and `/etc/resolv.conf`.

use std::fs;
use std::net::IpAddr;

use coracle_container_network::{Endpoint, default_route};

use super::named;
use super::options::legacy_links;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Doing, Error, Result};
use crate::namespaces::{Mode, Modes};
use crate::network_files::{self, Resolver};
use crate::record::Record;

impl Engine {
    /// The contents of `hostname`, `hosts` and `resolv.conf`.
    ///
    /// # Errors
    /// When a container that this one is linked to does not run.
    pub(crate) fn network_files(&self, record: &Record, mode: &Mode<'_>) -> Result<[String; 3]> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let endpoints = self.networks.endpoints_of(&record.id);
        let host_file = (*mode == Mode::Host).then(|| read("/etc/hosts"));
        let mut entries = self.extra_hosts(record, &endpoints)?;
        entries.extend(self.linked(record)?);
        entries.extend(own_entries(record, &endpoints));
        Ok([
            format!(
                "{}\n",
                record.config.hostname.as_deref().unwrap_or_default()
            ),
            network_files::hosts(host_file.as_deref(), &entries),
            self.resolv_conf(record, mode, &endpoints),
        ])
    }

    fn resolv_conf(
        &self,
        record: &Record,
        mode: &Mode<'_>,
        endpoints: &[(String, Endpoint)],
    ) -> String {
        let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let resolver = match mode {
            Mode::Network(_) if self.has_name_server(endpoints) => Resolver::Embedded,
            Mode::Network(_) => Resolver::Outside,
            _ => Resolver::Host,
        };
        network_files::resolv_conf(&host, &record.host_config, resolver)
    }

    fn has_name_server(&self, endpoints: &[(String, Endpoint)]) -> bool {
        let network = |endpoint: &Endpoint| self.networks.find(&endpoint.network).ok();
        let mut networks = endpoints
            .iter()
            .filter_map(|(_, endpoint)| network(endpoint));
        networks.any(|network| network.has_name_server())
    }

    /// `--add-host`, with `host-gateway` as the machine's address that the container reaches.
    fn extra_hosts(
        &self,
        record: &Record,
        endpoints: &[(String, Endpoint)],
    ) -> Result<Vec<(String, String)>> {
        let gateway = || {
            let own = default_route(named(endpoints), false)
                .and_then(|endpoint| endpoint.gateway(false))
                .filter(|gateway| !gateway.is_unspecified());
            let default = || {
                self.networks
                    .find("bridge")
                    .ok()?
                    .pools
                    .first()
                    .map(|pool| pool.gateway)
            };
            own.or_else(default).ok_or_else(|| {
                Error::Internal("unable to derive the IP value for host-gateway".into())
            })
        };
        let mut entries = Vec::new();
        for entry in record.host_config.extra_hosts.iter().flatten() {
            if let Some((name, address)) = entry.split_once([':', '=']) {
                let address = match address {
                    "host-gateway" => gateway()?.to_string(),
                    // An address of IPv6 may be in brackets.
                    text => text.trim_matches(['[', ']']).to_owned(),
                };
                entries.push((address, name.to_owned()));
            }
        }
        Ok(entries)
    }

    /// The containers of the default network that this one is linked to.
    fn linked(&self, record: &Record) -> Result<Vec<(String, String)>> {
        let mut entries = Vec::new();
        for (name, alias) in legacy_links(&record.host_config) {
            let other = self.find(name)?;
            let endpoints = self.networks.endpoints_of(other.id());
            let Some((_, endpoint)) = endpoints.iter().find(|(network, _)| network == "bridge")
            else {
                let (name, runs) = (other.name(), other.is_active());
                return Err(Error::Internal(if runs {
                    format!(
                        "container {} not attached to default bridge network",
                        other.id()
                    )
                } else {
                    format!("Cannot link to a non running container: /{name} AS {alias}")
                }));
            };
            let hostname = other
                .data()
                .record
                .config
                .hostname
                .clone()
                .unwrap_or_default();
            let mut names = vec![alias.to_owned(), hostname];
            names.push(other.name());
            names.dedup();
            entries.extend(
                endpoint
                    .addresses
                    .iter()
                    .map(|cidr| (cidr.address.to_string(), names.join(" "))),
            );
        }
        Ok(entries)
    }

    /// Brings the files of a running container up to date after one of its endpoints came (`added`) or went. What a user has changed
    /// otherwise stays.
    pub(super) fn update_network_files(
        &self,
        container: &Container,
        change: &Endpoint,
        added: bool,
    ) {
        let record = container.data().record.clone();
        let after = self.networks.endpoints_of(&record.id);
        let mut before: Vec<_> = after
            .iter()
            .filter(|(_, end)| end.id != change.id)
            .cloned()
            .collect();
        if !added {
            before.push((String::new(), change.clone()));
        }
        if let Err(error) = self.rewrite(container, &record, change, added, &before, &after) {
            tracing::warn!("{error}");
        }
    }

    fn rewrite(
        &self,
        container: &Container,
        record: &Record,
        change: &Endpoint,
        added: bool,
        before: &[(String, Endpoint)],
        after: &[(String, Endpoint)],
    ) -> Result<()> {
        let mode = Modes::parse(&record.host_config)?.net;
        let bundle = self.bundle(container.id());
        let hosts = bundle.join("hosts");
        let doing = || format!("change {}", hosts.display());
        let text = fs::read_to_string(&hosts).doing(doing)?;
        let addresses: Vec<IpAddr> = change.addresses.iter().map(|cidr| cidr.address).collect();
        let mut text = network_files::without(&text, &addresses);
        if added {
            network_files::append(
                &mut text,
                &own_entries(record, &[(String::new(), change.clone())]),
            );
        }
        // In place: it is mounted.
        fs::write(&hosts, text).doing(doing)?;
        let resolv_conf = bundle.join("resolv.conf");
        let doing = || format!("change {}", resolv_conf.display());
        let (old, new) = (
            self.resolv_conf(record, &mode, before),
            self.resolv_conf(record, &mode, after),
        );
        if old != new && fs::read_to_string(&resolv_conf).doing(doing)? == old {
            fs::write(&resolv_conf, new).doing(doing)?;
        }
        Ok(())
    }
}

/// The container's own addresses with its names.
fn own_entries(record: &Record, endpoints: &[(String, Endpoint)]) -> Vec<(String, String)> {
    let mut names = record.config.hostname.clone().unwrap_or_default();
    if let Some(domain) = record
        .config
        .domainname
        .as_deref()
        .filter(|domain| !domain.is_empty())
    {
        names = format!("{names}.{domain}");
    }
    if let Some((host, _)) = names.clone().split_once('.') {
        names = format!("{names} {host}");
    }
    endpoints
        .iter()
        .flat_map(|(_, endpoint)| &endpoint.addresses)
        .map(|cidr| (cidr.address.to_string(), names.clone()))
        .collect()
}
