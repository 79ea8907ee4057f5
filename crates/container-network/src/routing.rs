//! Interfaces, addresses and routes of the network namespace that the calling thread is in, by NETLINK_ROUTE.

mod answer;
mod socket;
#[cfg(test)]
mod tests;
mod upper;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use self::socket::Socket;
use crate::cidr::Cidr;
use crate::endpoint::Mac;
use crate::error::{Doing, Result};
use crate::namespace::Namespace;

/// The loopback interface is the first one of every network namespace.
const LOOPBACK: u32 = 1;

/// A socket of the namespace in which it was made.
#[derive(Debug)]
pub struct Routing {
    socket: Socket,
}

/// An interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is a bridge.
    pub is_bridge: bool,
    /// What somebody has written to it.
    pub alias: Option<String>,
}

/// A pair of interfaces to make: one end on a bridge here, the other in a container.
#[derive(Debug)]
pub struct Pair<'a> {
    /// Name of this end.
    pub name: &'a str,
    /// Number of the bridge.
    pub bridge: u32,
    /// Where the other end is.
    pub namespace: &'a Namespace,
    /// Its name.
    pub peer: &'a str,
    /// Its address.
    pub mac: Mac,
    /// Bytes, of both ends.
    pub mtu: Option<u32>,
    /// This end reaches the bridge itself only, no other end.
    pub isolated: bool,
}

impl Routing {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel has no room.
    pub fn open() -> Result<Self> {
        let socket = Socket::open().doing(|| "open a netlink socket".to_owned())?;
        Ok(Self { socket })
    }

    /// Sets the loopback interface up, as every container has it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn raise_loopback(&self) -> Result<()> {
        self.raise(LOOPBACK)
            .doing(|| "set up the loopback interface".to_owned())
    }

    /// The interface with this name.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn find(&self, name: &str) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        match self
            .socket
            .request(RouteNetlinkMessage::GetLink(message), NLM_F_ACK)
        {
            Ok(answers) => Ok(answers.iter().find_map(answer::link)),
            Err(error) if is(&error, Errno::NODEV) => Ok(None),
            Err(error) => Err(error).doing(|| format!("look for interface {name}")),
        }
    }

    /// All interfaces.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn links(&self) -> Result<Vec<Link>> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self
            .socket
            .request(request, NLM_F_DUMP)
            .doing(|| "list the interfaces".to_owned())?;
        Ok(answers.iter().filter_map(answer::link).collect())
    }

    /// The networks that the machine reaches by other than its default route.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn networks(&self) -> Result<Vec<Cidr>> {
        let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        let answers = self
            .socket
            .request(request, NLM_F_DUMP)
            .doing(|| "list the routes".to_owned())?;
        Ok(answers.iter().filter_map(answer::route).collect())
    }

    /// Makes a bridge, or takes the one that is there, with these addresses; it is up afterwards. Gives its number.
    ///
    /// # Errors
    /// When an interface of this name is no bridge, or the kernel refuses.
    pub fn bridge(
        &self,
        name: &str,
        mac: Mac,
        mtu: Option<u32>,
        addresses: &[Cidr],
    ) -> Result<u32> {
        let index = match self.find(name)? {
            Some(link) if link.is_bridge => link.index,
            Some(_) => {
                return Err(io::Error::from(Errno::EXIST)).doing(|| format!("make bridge {name}"));
            }
            None => {
                let mut message = LinkMessage::default();
                message.attributes = vec![
                    LinkAttribute::IfName(name.to_owned()),
                    // One of its own: otherwise it has that of one of its ports, and changes it with them.
                    LinkAttribute::Address(mac.0.to_vec()),
                    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
                ];
                message.attributes.extend(mtu.map(LinkAttribute::Mtu));
                self.socket
                    .request(
                        RouteNetlinkMessage::NewLink(message),
                        NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK,
                    )
                    .doing(|| format!("make bridge {name}"))?;
                self.find(name)?
                    .ok_or_else(|| io::Error::from(Errno::NODEV))
                    .doing(|| format!("look for bridge {name}"))?
                    .index
            }
        };
        for address in addresses {
            self.add_address(index, *address)
                .doing(|| format!("give bridge {name} the address {address}"))?;
        }
        self.raise(index)
            .doing(|| format!("set up bridge {name}"))?;
        Ok(index)
    }

    /// Makes a pair of interfaces; this end is up afterwards.
    ///
    /// # Errors
    /// When the kernel refuses; then there is none.
    pub fn pair(&self, pair: &Pair<'_>) -> Result<()> {
        let doing = || format!("make interface {} of a container", pair.peer);
        let mtu = pair.mtu.map(LinkAttribute::Mtu);
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(pair.peer.to_owned()),
            LinkAttribute::Address(pair.mac.0.to_vec()),
            LinkAttribute::NetNsFd(pair.namespace.as_fd().as_raw_fd()),
        ];
        peer.attributes.extend(mtu.clone());
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName(pair.name.to_owned()),
            LinkAttribute::Controller(pair.bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        message.attributes.extend(mtu);
        self.socket
            .request(
                RouteNetlinkMessage::NewLink(message),
                NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK,
            )
            .doing(doing)?;
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(pair.name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(vec![
                    // Where the kernel sends bridged packets through the firewall (br_netfilter, which User Docker loads), a container
                    // reaches itself through a published port only if the bridge sends back by the same port.
                    InfoBridgePort::HairpinMode(true),
                    InfoBridgePort::Isolated(pair.isolated),
                ])),
            ]),
        ];
        let port = self
            .socket
            .request(RouteNetlinkMessage::NewLink(message), NLM_F_ACK);
        if let Err(error) = port {
            self.remove(pair.name)?;
            return Err(error).doing(doing);
        }
        Ok(())
    }

    /// Gives an interface of a container its addresses and sets it up.
    ///
    /// # Errors
    /// When there is no such interface, or the kernel refuses.
    pub fn configure(&self, name: &str, addresses: &[Cidr]) -> Result<u32> {
        let link = self
            .find(name)?
            .ok_or_else(|| io::Error::from(Errno::NODEV))
            .doing(|| format!("look for interface {name}"))?;
        for address in addresses {
            self.add_address(link.index, *address)
                .doing(|| format!("give interface {name} the address {address}"))?;
        }
        self.raise(link.index)
            .doing(|| format!("set up interface {name}"))?;
        Ok(link.index)
    }

    /// Makes `gateway` the default route of its family, in place of another one. The unspecified address is the interface itself.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_default_route(&self, gateway: IpAddr, index: u32) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family(gateway),
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Boot,
            scope: match gateway.is_unspecified() {
                true => RouteScope::Link,
                false => RouteScope::Universe,
            },
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes = vec![RouteAttribute::Oif(index)];
        if !gateway.is_unspecified() {
            let gateway = RouteAddress::from(gateway);
            message.attributes.push(RouteAttribute::Gateway(gateway));
        }
        self.socket
            .request(
                RouteNetlinkMessage::NewRoute(message),
                NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK,
            )
            .map(drop)
            .doing(|| format!("set the default route to {gateway}"))
    }

    /// Gives an interface, which is down, another name.
    ///
    /// # Errors
    /// When there is no such interface, or the name is taken.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let doing = || format!("rename interface {from} to {to}");
        let link = self
            .find(from)?
            .ok_or_else(|| io::Error::from(Errno::NODEV))
            .doing(doing)?;
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message
            .attributes
            .push(LinkAttribute::IfName(to.to_owned()));
        self.socket
            .request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK)
            .map(drop)
            .doing(doing)
    }

    /// Removes the interface with this name, if there is one; the other end of a pair goes with it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&self, name: &str) -> Result<()> {
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        match self
            .socket
            .request(RouteNetlinkMessage::DelLink(message), NLM_F_ACK)
        {
            Err(error) if !is(&error, Errno::NODEV) => {
                Err(error).doing(|| format!("remove interface {name}"))
            }
            _ => Ok(()),
        }
    }

    fn raise(&self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.socket
            .request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK)
            .map(drop)
    }

    fn add_address(&self, index: u32, address: Cidr) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address.address);
        message.header.prefix_len = address.prefix;
        message.header.index = index;
        message.attributes = vec![
            AddressAttribute::Local(address.address),
            AddressAttribute::Address(address.address),
        ];
        if let IpAddr::V4(broadcast) = address.last() {
            message
                .attributes
                .push(AddressAttribute::Broadcast(broadcast));
        } else {
            // It is ours to give: nobody else has it, and waiting to find that out would delay the container.
            message.header.flags = AddressHeaderFlags::Nodad;
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.socket
            .request(
                RouteNetlinkMessage::NewAddress(message),
                NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK,
            )
            .map(drop)
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    }
}
