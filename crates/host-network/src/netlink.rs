//! The rtnetlink requests that the network service makes, and the kernel's notifications.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkMessageBuilder, LinkUnspec, MulticastGroup,
    RouteMessageBuilder,
};

use crate::cidr::Cidr;
use crate::error::Error;
use crate::selector::Mac;

/// A network interface as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Absent for interfaces without a six-byte address.
    pub mac: Option<Mac>,
    /// Made by software (bond, vlan, bridge, veth, …).
    pub virtual_link: bool,
    pub loopback: bool,
    /// Administratively up.
    pub up: bool,
    /// The wire is connected.
    pub carrier: bool,
    pub mtu: u32,
}

/// A route of the main table that the network service sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Network; the default route has prefix 0.
    pub destination: Cidr,
    /// Without one the network is reached directly.
    pub gateway: Option<IpAddr>,
    /// Routes with a source go away with that address.
    pub source: Option<IpAddr>,
    /// Lower wins.
    pub metric: u32,
}

/// What the kernel reports.
#[derive(Debug)]
pub enum Event {
    /// New, or changed.
    Link(Link),
    LinkGone(u32),
    /// An address of this interface came or went.
    Address(u32),
    /// Notifications were lost; look at everything again.
    Overrun,
}

/// Stream of what rtnetlink received that was not an answer.
pub type Notifications = futures_util::stream::BoxStream<'static, Event>;

/// A connection to the kernel's routing netlink.
#[derive(Clone)]
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens the socket and starts its task on the current runtime.
    pub fn open() -> Result<(Self, Notifications), Error> {
        use futures_util::StreamExt;
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ];
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(&groups).map_err(Error::Socket)?;
        tokio::spawn(connection);
        let events = messages.filter_map(|(message, _)| async move { event(message) });
        Ok((Self { handle }, events.boxed()))
    }

    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let messages: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(refused("netlink", "list the interfaces"))?;
        Ok(messages.iter().filter_map(link).collect())
    }

    /// Addresses of an interface, and whether each is permanent (the kernel's own, from router advertisements, are not).
    pub async fn addresses(&self, link: &Link) -> Result<Vec<(Cidr, bool)>, Error> {
        let messages: Vec<AddressMessage> = self
            .handle
            .address()
            .get()
            .set_link_index_filter(link.index)
            .execute()
            .try_collect()
            .await
            .map_err(refused(&link.name, "list its addresses"))?;
        Ok(messages.iter().filter_map(address).collect())
    }

    /// Gateways of the default routes, both families, in the kernel's order.
    pub async fn default_gateways(&self) -> Result<Vec<IpAddr>, Error> {
        let mut gateways = Vec::new();
        for request in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let routes: Vec<RouteMessage> = self
                .handle
                .route()
                .get(request)
                .execute()
                .try_collect()
                .await
                .map_err(refused("netlink", "list the routes"))?;
            gateways.extend(routes.iter().filter_map(default_gateway));
        }
        Ok(gateways)
    }

    pub async fn set_up(&self, link: &Link) -> Result<(), Error> {
        let message = LinkMessageBuilder::<LinkUnspec>::new()
            .index(link.index)
            .up()
            .build();
        let done = self.handle.link().set(message).execute().await;
        done.map_err(refused(&link.name, "set it up"))
    }

    pub async fn set_mtu(&self, link: &Link, mtu: u32) -> Result<(), Error> {
        let message = LinkMessageBuilder::<LinkUnspec>::new()
            .index(link.index)
            .mtu(mtu)
            .build();
        let done = self.handle.link().set(message).execute().await;
        done.map_err(refused(&link.name, format!("set its MTU to {mtu}")))
    }

    /// Adds the address; adding it again is fine.
    pub async fn add_address(&self, link: &Link, cidr: Cidr) -> Result<(), Error> {
        let done = self
            .handle
            .address()
            .add(link.index, cidr.address, cidr.prefix)
            .replace()
            .execute()
            .await;
        done.map_err(refused(&link.name, format!("add the address {cidr}")))
    }

    pub async fn remove_address(&self, link: &Link, cidr: Cidr) -> Result<(), Error> {
        let message = match cidr.address {
            IpAddr::V4(v4) => AddressMessageBuilder::<Ipv4Addr>::new()
                .index(link.index)
                .address(v4, cidr.prefix)
                .build(),
            IpAddr::V6(v6) => AddressMessageBuilder::<Ipv6Addr>::new()
                .index(link.index)
                .address(v6, cidr.prefix)
                .build(),
        };
        let done = self.handle.address().del(message).execute().await;
        done.map_err(refused(&link.name, format!("remove the address {cidr}")))
    }

    /// Adds the route, replacing one with the same destination and metric.
    pub async fn add_route(&self, link: &Link, route: &Route) -> Result<(), Error> {
        let request = self.handle.route().add(route_message(link, route));
        let done = request.replace().execute().await;
        done.map_err(refused(&link.name, format!("add the {route}")))
    }

    pub async fn remove_route(&self, link: &Link, route: &Route) -> Result<(), Error> {
        let done = self
            .handle
            .route()
            .del(route_message(link, route))
            .execute()
            .await;
        done.map_err(refused(&link.name, format!("remove the {route}")))
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "route to {}", self.destination)?;
        match self.gateway {
            Some(gateway) => write!(f, " via {gateway}"),
            None => Ok(()),
        }
    }
}

/// Turns a refused request into an error that says which.
fn refused(interface: &str, action: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
    let (interface, action) = (interface.to_owned(), action.into());
    move |cause| Error::Netlink {
        interface,
        action,
        cause,
    }
}

fn route_message(link: &Link, route: &Route) -> RouteMessage {
    let scope = match route.gateway {
        Some(_) => RouteScope::Universe,
        None => RouteScope::Link,
    };
    match route.destination.address {
        IpAddr::V4(destination) => {
            let mut builder = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(destination, route.destination.prefix)
                .scope(scope);
            if let Some(IpAddr::V4(gateway)) = route.gateway {
                builder = builder.gateway(gateway);
            }
            if let Some(IpAddr::V4(source)) = route.source {
                builder = builder.pref_source(source);
            }
            builder
                .output_interface(link.index)
                .priority(route.metric)
                .protocol(RouteProtocol::Dhcp)
                .build()
        }
        IpAddr::V6(destination) => {
            let mut builder = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(destination, route.destination.prefix);
            if let Some(IpAddr::V6(gateway)) = route.gateway {
                builder = builder.gateway(gateway);
            }
            builder
                .output_interface(link.index)
                .priority(route.metric)
                .protocol(RouteProtocol::Static)
                .build()
        }
    }
}

fn event(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Event> {
    match message.payload {
        NetlinkPayload::Overrun(_) => Some(Event::Overrun),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
            link(&message).map(Event::Link)
        }
        // A port that leaves a bridge is reported as a deletion with the bridge's family.
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message)) => {
            (message.header.interface_family == AddressFamily::Unspec)
                .then_some(Event::LinkGone(message.header.index))
        }
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message),
        ) => Some(Event::Address(message.header.index)),
        _ => None,
    }
}

/// `None` for messages about bridge ports, which have the bridge's family and are not about the interface itself.
fn link(message: &LinkMessage) -> Option<Link> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        virtual_link: false,
        loopback: flags.contains(LinkFlags::Loopback),
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        mtu: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                link.virtual_link = infos.iter().any(|info| matches!(info, LinkInfo::Kind(_)));
            }
            _ => {}
        }
    }
    Some(link).filter(|link| !link.name.is_empty())
}

fn address(message: &AddressMessage) -> Option<(Cidr, bool)> {
    let mut local = None;
    let mut peer = None;
    for attribute in &message.attributes {
        match attribute {
            // IFA_LOCAL is the interface's own address where IFA_ADDRESS is the other end's (point to point).
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => peer = Some(*ip),
            _ => {}
        }
    }
    let cidr = Cidr {
        address: local.or(peer)?,
        prefix: message.header.prefix_len,
    };
    let permanent = message.header.flags.contains(AddressHeaderFlags::Permanent);
    Some((cidr, permanent))
}

fn default_gateway(message: &RouteMessage) -> Option<IpAddr> {
    let header = &message.header;
    if header.destination_prefix_length != 0 || header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            RouteAttribute::Gateway(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        })
}
