//! One DHCPv4 client task per interface. The protocol is mozim's; here are its start, its retries, and what a lease means
//! for the interface.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mozim::{DhcpV4Client, DhcpV4Config, DhcpV4Lease, DhcpV4State};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::cidr::Cidr;
use crate::error::Error;
use crate::netlink::{Link, Route};
use crate::selector::Mac;

/// Pause after an error that is not silence (the interface went down, no memory for a socket).
const RETRY: Duration = Duration::from_secs(5);
/// DHCP's default routes come after configured ones and in the order of the interfaces.
const METRIC: u32 = 200;

/// What a client task reports about the interface with this index.
#[derive(Debug)]
pub enum DhcpEvent {
    /// A lease was granted or renewed.
    Bound(u32, Box<DhcpV4Lease>),
    /// The lease ran out without renewal.
    Expired(u32),
}

/// A running client; dropping it ends the task without releasing the lease.
#[derive(Debug)]
pub struct DhcpTask(AbortHandle);

impl Drop for DhcpTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A lease that the interface has, and until when.
#[derive(Debug, Clone)]
pub struct HeldLease {
    pub lease: Box<DhcpV4Lease>,
    pub expires: Instant,
}

impl HeldLease {
    pub fn new(lease: Box<DhcpV4Lease>) -> Self {
        let expires = Instant::now() + Duration::from_secs(lease.lease_time_sec.into());
        Self { lease, expires }
    }
}

/// Starts a client. `held`: the lease from before the wire was unplugged, which is asked for again (RFC 2131, INIT-REBOOT).
pub fn spawn(
    link: &Link,
    mac: Mac,
    hostname: &str,
    held: Option<HeldLease>,
    events: UnboundedSender<DhcpEvent>,
) -> Result<DhcpTask, Error> {
    let fault = |cause| Error::Dhcp {
        interface: link.name.clone(),
        cause,
    };
    let mut config = DhcpV4Config::new(&link.name);
    config.set_iface_index(link.index);
    config.set_iface_mac_raw(&mac).map_err(fault)?;
    config.use_mac_as_client_id();
    if crate::hostname::acceptable(hostname) {
        config.set_host_name(hostname);
    }
    let task = tokio::spawn(converse(link.clone(), config, held, events));
    Ok(DhcpTask(task.abort_handle()))
}

/// Talks to the server for as long as the task lives.
async fn converse(
    link: Link,
    config: DhcpV4Config,
    held: Option<HeldLease>,
    events: UnboundedSender<DhcpEvent>,
) {
    let mut expires = held.as_ref().map(|held| held.expires);
    let mut known = held.map(|held| *held.lease);
    loop {
        let mut client = match DhcpV4Client::init(config.clone(), known.take()).await {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!("{}: DHCP client does not start: {error}", link.name);
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        loop {
            // An address is kept until its lease ends, however long a server stays silent.
            let state = tokio::select! {
                state = client.run() => state,
                () = until(expires) => {
                    expires = None;
                    if events.send(DhcpEvent::Expired(link.index)).is_err() {
                        return;
                    }
                    continue;
                }
            };
            match state {
                Ok(DhcpV4State::Done(lease)) => {
                    expires = Some(HeldLease::new(lease.clone()).expires);
                    if events.send(DhcpEvent::Bound(link.index, lease)).is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("{}: DHCP: {error}", link.name);
                    tokio::time::sleep(RETRY).await;
                    break;
                }
            }
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The address that a lease grants.
pub fn address(lease: &DhcpV4Lease) -> Cidr {
    Cidr::with_netmask(lease.yiaddr, lease.subnet_mask)
}

/// The routes that a lease asks for: its classless routes (RFC 3442), or else the default route through its first router.
/// A router outside the lease's own network (as on cloud networks with /32 leases) first gets a route to itself.
pub fn routes(lease: &DhcpV4Lease, interface_index: u32) -> Vec<Route> {
    let metric = METRIC + interface_index;
    let own = address(lease);
    let source = Some(own.address);
    let wanted: Vec<(Cidr, Ipv4Addr)> = match (&lease.classless_routes, &lease.gateways) {
        (Some(routes), _) => routes
            .iter()
            .map(|route| {
                let destination = Cidr {
                    address: route.destination.into(),
                    prefix: route.prefix_length,
                };
                (destination, route.router)
            })
            .collect(),
        (None, Some(routers)) => routers
            .first()
            .map(|router| (default_destination(), *router))
            .into_iter()
            .collect(),
        (None, None) => Vec::new(),
    };
    let mut routes: Vec<Route> = Vec::new();
    for (destination, router) in wanted {
        let router = Some(router).filter(|router| !router.is_unspecified());
        if let Some(router) = router
            && !own.contains(router.into())
        {
            let to_router = Route {
                destination: Cidr {
                    address: router.into(),
                    prefix: 32,
                },
                gateway: None,
                source,
                metric,
            };
            if !routes.contains(&to_router) {
                routes.push(to_router);
            }
        }
        routes.push(Route {
            destination,
            gateway: router.map(IpAddr::V4),
            source,
            metric,
        });
    }
    routes
}

fn default_destination() -> Cidr {
    Cidr {
        address: Ipv4Addr::UNSPECIFIED.into(),
        prefix: 0,
    }
}

/// Search domains of a lease: option 119, else the domain name.
pub fn search(lease: &DhcpV4Lease) -> Vec<String> {
    match (&lease.domain_search, &lease.domain_name) {
        (Some(domains), _) if !domains.is_empty() => domains.clone(),
        (_, Some(domain)) if !domain.is_empty() => vec![domain.clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use mozim::DhcpV4ClasslessRoute;

    use super::*;

    fn lease(address: &str, mask: &str) -> DhcpV4Lease {
        let mut lease = DhcpV4Lease::default();
        lease.yiaddr = address.parse().unwrap();
        lease.subnet_mask = mask.parse().unwrap();
        lease
    }

    fn described(lease: &DhcpV4Lease) -> Vec<String> {
        let routes = routes(lease, 2);
        assert!(routes.iter().all(|route| route.metric == 202));
        routes.iter().map(Route::to_string).collect()
    }

    #[test]
    fn router_becomes_the_default_route() {
        let mut lease = lease("10.0.2.15", "255.255.255.0");
        lease.gateways = Some(vec![
            "10.0.2.2".parse().unwrap(),
            "10.0.2.9".parse().unwrap(),
        ]);
        assert_eq!(described(&lease), ["route to 0.0.0.0/0 via 10.0.2.2"]);
    }

    #[test]
    fn router_outside_the_network_is_made_reachable_first() {
        let mut lease = lease("10.128.0.7", "255.255.255.255");
        lease.gateways = Some(vec!["10.128.0.1".parse().unwrap()]);
        assert_eq!(
            described(&lease),
            [
                "route to 10.128.0.1/32",
                "route to 0.0.0.0/0 via 10.128.0.1"
            ]
        );
    }

    #[test]
    fn classless_routes_replace_the_router() {
        let mut lease = lease("192.168.1.5", "255.255.255.0");
        lease.gateways = Some(vec!["192.168.1.1".parse().unwrap()]);
        let route = |destination: &str, prefix_length, router: &str| DhcpV4ClasslessRoute {
            destination: destination.parse().unwrap(),
            prefix_length,
            router: router.parse().unwrap(),
        };
        lease.classless_routes = Some(vec![
            route("10.0.0.0", 8, "192.168.1.9"),
            route("0.0.0.0", 0, "192.168.1.2"),
            route("169.254.169.254", 32, "0.0.0.0"),
        ]);
        assert_eq!(
            described(&lease),
            [
                "route to 10.0.0.0/8 via 192.168.1.9",
                "route to 0.0.0.0/0 via 192.168.1.2",
                "route to 169.254.169.254/32",
            ]
        );
    }

    #[test]
    fn search_list_wins_over_domain_name() {
        let mut lease = lease("10.0.0.2", "255.0.0.0");
        assert_eq!(search(&lease), [""; 0]);
        lease.domain_name = Some("a.example".to_owned());
        assert_eq!(search(&lease), ["a.example"]);
        lease.domain_search = Some(vec!["b.example".to_owned(), "c.example".to_owned()]);
        assert_eq!(search(&lease), ["b.example", "c.example"]);
    }
}
