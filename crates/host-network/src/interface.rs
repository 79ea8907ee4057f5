//! One interface under management: makes it what its entry in the configuration says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mozim::DhcpV4Lease;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::cidr::Cidr;
use crate::commands;
use crate::config::InterfaceConfig;
use crate::dhcp::{self, DhcpEvent, DhcpTask, HeldLease};
use crate::error::Error;
use crate::netlink::{Link, Netlink, Route};
use crate::selector;
use crate::state::{DhcpProgress, InterfaceState};

/// Configured default routes come before those from DHCP.
const METRIC: u32 = 100;
/// A wire is negotiated within this time; an interface without a cable does not keep `ready` waiting for longer.
const CARRIER_WAIT: Duration = Duration::from_secs(5);

/// An interface that configuration selects.
pub struct Interface {
    pub link: Link,
    pub entry: InterfaceConfig,
    /// Someone set it down, and with that lost its routes.
    pub routes_lost: bool,
    /// When it appeared and how long its DHCP server has to answer, while it keeps `ready` waiting.
    waiting: Option<(Instant, Duration)>,
    progress: Option<DhcpProgress>,
    task: Option<DhcpTask>,
    held: Option<HeldLease>,
    /// Routes of the current lease.
    routes: Vec<Route>,
}

impl Interface {
    /// Takes an interface over; nothing is changed yet.
    pub fn new(link: Link, entry: InterfaceConfig, dhcp_timeout: Duration) -> Self {
        let dhcp = entry.dhcp && !link.loopback;
        Self {
            routes_lost: false,
            progress: dhcp.then_some(DhcpProgress::Asking),
            waiting: dhcp.then(|| (Instant::now(), dhcp_timeout)),
            link,
            entry,
            task: None,
            held: None,
            routes: Vec::new(),
        }
    }

    /// Brings the interface up with everything static. Errors of single steps are logged: a refused MTU must not cost the
    /// address.
    pub async fn configure(&mut self, netlink: &Netlink) {
        let name = self.link.name.clone();
        commands::run_all(&format!("{name}: pre_up"), &self.entry.pre_up).await;
        accept_router_advertisements(&name);
        if let Some(mtu) = self.entry.mtu {
            report(netlink.set_mtu(&self.link, mtu).await);
        }
        // Always asked for, as the interface may be down by the time: setting it up twice is nothing.
        report(netlink.set_up(&self.link).await);
        for cidr in &self.entry.addresses {
            report(netlink.add_address(&self.link, *cidr).await);
        }
        if !self.link.loopback && !self.entry.addresses.is_empty() {
            let keep = self.wanted_addresses();
            report(self.remove_other_addresses(netlink, &keep).await);
        }
        for route in static_routes(&self.entry, self.link.index) {
            report(netlink.add_route(&self.link, &route).await);
        }
        commands::run_all(&format!("{name}: post_up"), &self.entry.post_up).await;
    }

    /// Starts the DHCP client as soon as there is a wire, and stops it when there is none: a client without one would only
    /// grow its pauses.
    pub fn follow_carrier(&mut self, hostname: &str, events: &UnboundedSender<DhcpEvent>) {
        if self.progress.is_none() {
            return;
        }
        if !self.link.carrier {
            self.task = None;
            return;
        }
        let (None, Some(mac)) = (&self.task, self.link.mac) else {
            return;
        };
        let held = self.held.clone();
        match dhcp::spawn(&self.link, mac, hostname, held, events.clone()) {
            Ok(task) => self.task = Some(task),
            Err(error) => tracing::error!("{error}"),
        }
    }

    /// Applies a lease: address first, then routes, then what an older lease left.
    pub async fn bound(&mut self, netlink: &Netlink, lease: Box<DhcpV4Lease>) {
        let address = dhcp::address(&lease);
        let news = self.held.as_ref().map(|held| dhcp::address(&held.lease)) != Some(address);
        if news {
            tracing::info!(
                "{}: {address} from {} for {} s",
                self.link.name,
                lease.srv_id,
                lease.lease_time_sec
            );
        }
        let routes = dhcp::routes(&lease, self.link.index);
        if let Some(mtu) = lease.mtu.map(u32::from)
            && self.entry.mtu.is_none()
            && mtu != self.link.mtu
            && mtu >= 576
        {
            report(netlink.set_mtu(&self.link, mtu).await);
        }
        report(netlink.add_address(&self.link, address).await);
        for route in &routes {
            report(netlink.add_route(&self.link, route).await);
        }
        self.held = Some(HeldLease::new(lease));
        self.progress = Some(DhcpProgress::Bound);
        self.waiting = None;
        let old: Vec<Route> = std::mem::replace(&mut self.routes, routes);
        for route in old.iter().filter(|route| !self.routes.contains(route)) {
            // Gone already when its source address was removed by someone else.
            if let Err(error) = netlink.remove_route(&self.link, route).await {
                tracing::debug!("{error}");
            }
        }
        let keep = self.wanted_addresses();
        report(self.remove_other_addresses(netlink, &keep).await);
    }

    /// Takes back what an expired lease gave.
    pub async fn expired(&mut self, netlink: &Netlink) {
        let Some(held) = self.held.take() else { return };
        let address = dhcp::address(&held.lease);
        tracing::warn!("{}: the lease of {address} ran out", self.link.name);
        self.progress = Some(DhcpProgress::Unanswered);
        self.routes.clear();
        // Its routes have it as source and go with it.
        report(netlink.remove_address(&self.link, address).await);
    }

    /// Until when the interface keeps `ready` waiting.
    pub fn deadline(&self) -> Option<Instant> {
        let (since, timeout) = self.waiting?;
        let limit = if self.link.carrier {
            timeout
        } else {
            timeout.min(CARRIER_WAIT)
        };
        Some(since + limit)
    }

    /// Notes that `dhcp_timeout` has passed; the client goes on.
    pub fn timed_out(&mut self) {
        self.waiting = None;
        if self.progress == Some(DhcpProgress::Asking) {
            self.progress = Some(DhcpProgress::Unanswered);
            let reason = if self.link.carrier {
                "no DHCP server has answered yet"
            } else {
                "no cable is connected"
            };
            tracing::warn!("{}: {reason}; still trying", self.link.name);
        }
    }

    /// The current lease.
    pub fn lease(&self) -> Option<&DhcpV4Lease> {
        self.held.as_ref().map(|held| &*held.lease)
    }

    /// For `network.json`.
    pub async fn state(&self, netlink: &Netlink) -> InterfaceState {
        let addresses = netlink.addresses(&self.link).await.unwrap_or_else(|error| {
            tracing::error!("{error}");
            Vec::new()
        });
        InterfaceState {
            name: self.link.name.clone(),
            mac: self.link.mac.as_ref().map(selector::format_mac),
            carrier: self.link.carrier,
            mtu: self.link.mtu,
            addresses: addresses.iter().map(|(cidr, _)| cidr.to_string()).collect(),
            dhcp: self.progress,
        }
    }

    fn wanted_addresses(&self) -> Vec<Cidr> {
        let leased = self.lease().map(dhcp::address);
        self.entry.addresses.iter().copied().chain(leased).collect()
    }

    /// Removes addresses that neither configuration nor DHCP asked for (H1-009), for instance a former static one. The
    /// kernel's own IPv6 addresses stay; so does every IPv6 address where only DHCPv4 is configured.
    async fn remove_other_addresses(&self, netlink: &Netlink, keep: &[Cidr]) -> Result<(), Error> {
        let manages_v6 = self
            .entry
            .addresses
            .iter()
            .any(|cidr| cidr.address.is_ipv6());
        for (cidr, permanent) in netlink.addresses(&self.link).await? {
            let foreign = match cidr.address {
                IpAddr::V4(_) => true,
                IpAddr::V6(v6) => manages_v6 && permanent && !v6.is_unicast_link_local(),
            };
            if foreign && !keep.contains(&cidr) {
                netlink.remove_address(&self.link, cidr).await?;
            }
        }
        Ok(())
    }
}

/// Default routes of an entry; a gateway outside its networks first gets a route to itself.
fn static_routes(entry: &InterfaceConfig, interface_index: u32) -> Vec<Route> {
    let metric = METRIC + interface_index;
    let mut routes = Vec::new();
    for &gateway in &entry.gateways {
        let (any, width): (IpAddr, u8) = match gateway {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), 32),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), 128),
        };
        let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if !link_local && !entry.addresses.iter().any(|cidr| cidr.contains(gateway)) {
            routes.push(Route {
                destination: Cidr {
                    address: gateway,
                    prefix: width,
                },
                gateway: None,
                source: None,
                metric,
            });
        }
        routes.push(Route {
            destination: Cidr {
                address: any,
                prefix: 0,
            },
            gateway: Some(gateway),
            source: None,
            metric,
        });
    }
    routes
}

/// Docker turns IPv6 forwarding on, and a forwarding kernel ignores router advertisements unless told otherwise
/// (ip-sysctl, accept_ra = 2).
fn accept_router_advertisements(name: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/accept_ra");
    if let Err(error) = std::fs::write(&path, "2") {
        tracing::debug!("{path}: {error}");
    }
}

fn report(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::error!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::NetworkConfig;

    #[test]
    fn gateways_become_default_routes() {
        let table = [
            (
                json!({"address": "10.0.0.5/24", "gateway": "10.0.0.1"}),
                vec!["route to 0.0.0.0/0 via 10.0.0.1"],
            ),
            (
                json!({"address": "10.0.0.5/32", "gateway": "10.9.0.1"}),
                vec!["route to 10.9.0.1/32", "route to 0.0.0.0/0 via 10.9.0.1"],
            ),
            (
                json!({"address": "fd00::5/64", "gateway_ipv6": "fe80::1"}),
                vec!["route to ::/0 via fe80::1"],
            ),
            (json!({"address": "10.0.0.5/24"}), vec![]),
        ];
        for (entry, expected) in table {
            let tree = json!({"rancher": {"network": {"interfaces": {"eth0": entry}}}});
            let (config, problems) = NetworkConfig::new(&serde_json::from_value(tree).unwrap());
            assert_eq!(problems, []);
            let routes = static_routes(&config.interfaces[0], 3);
            assert!(routes.iter().all(|route| route.metric == 103));
            let texts: Vec<String> = routes.iter().map(Route::to_string).collect();
            assert_eq!(texts, expected, "{entry}");
        }
    }
}
