//! Interfaces, addresses and routes of the network namespace that the calling thread is in, by NETLINK_ROUTE.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind,
    InfoVeth, InfoVlan, IpVlanFlags, IpVlanMode, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    MacVlanMode,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::cidr::Cidr;
use crate::endpoint::Mac;
use crate::error::{Doing, Error, Result};
use crate::namespace::Namespace;
use crate::upper::{IpvlanFlag, IpvlanMode, Making, Upper, UpperKind};

/// The loopback interface is the first one of every network namespace.
const LOOPBACK: u32 = 1;

/// A socket of the namespace in which it was made.
#[derive(Debug)]
pub struct Routing {
    socket: OwnedFd,
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
        // No protocol is NETLINK_ROUTE.
        let socket = socket_with(
            rustix::net::AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )
        .doing(|| "open a netlink socket".to_owned())?;
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
        match self.request(RouteNetlinkMessage::GetLink(message), NLM_F_ACK) {
            Ok(answers) => Ok(answers.iter().find_map(link)),
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
            .request(request, NLM_F_DUMP)
            .doing(|| "list the interfaces".to_owned())?;
        Ok(answers.iter().filter_map(link).collect())
    }

    /// The networks that the machine reaches by other than its default route.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn networks(&self) -> Result<Vec<Cidr>> {
        let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        let answers = self
            .request(request, NLM_F_DUMP)
            .doing(|| "list the routes".to_owned())?;
        Ok(answers.iter().filter_map(route).collect())
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
                self.request(
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
        self.request(
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
        let port = self.request(RouteNetlinkMessage::NewLink(message), NLM_F_ACK);
        if let Err(error) = port {
            self.remove(pair.name)?;
            return Err(error).doing(doing);
        }
        Ok(())
    }

    /// Makes an interface in a container on top of one of the machine's, which is made if need be and marked by `mark`.
    ///
    /// # Errors
    /// Docker's texts when there is no such interface; when the kernel refuses.
    pub fn upper(
        &self,
        upper: &Upper,
        mark: &str,
        namespace: &Namespace,
        name: &str,
        mac: Mac,
    ) -> Result<()> {
        let parent = match self.find(&upper.parent)? {
            Some(link) => link.index,
            None => self.make_parent(upper, mark)?,
        };
        let (kind, data) = kind(upper.kind);
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(parent),
            LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd()),
        ];
        if kind == InfoKind::MacVlan {
            message
                .attributes
                .push(LinkAttribute::Address(mac.0.to_vec()));
        }
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(kind),
            LinkInfo::Data(data),
        ]));
        self.request(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK,
        )
        .map(drop)
        .doing(|| format!("make interface {name} of a container on {}", upper.parent))
    }

    /// Makes the parent of a network's interfaces; it is up afterwards. Gives its number.
    fn make_parent(&self, upper: &Upper, mark: &str) -> Result<u32> {
        let parent = &upper.parent;
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::IfName(parent.clone()));
        let info = match upper.making {
            Making::Dummy => vec![LinkInfo::Kind(InfoKind::Dummy)],
            Making::Vlan => {
                let (below, tag) = upper.vlan()?;
                let below = self.find(below)?.ok_or_else(|| {
                    Error::NotFound(format!(
                        "-o parent interface was not found on the host: {below}"
                    ))
                })?;
                message.attributes.push(LinkAttribute::Link(below.index));
                vec![
                    LinkInfo::Kind(InfoKind::Vlan),
                    LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(tag)])),
                ]
            }
        };
        message.attributes.push(LinkAttribute::LinkInfo(info));
        let doing = || format!("make interface {parent}");
        self.request(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK,
        )
        .doing(doing)?;
        let link = self
            .find(parent)?
            .ok_or_else(|| io::Error::from(Errno::NODEV))
            .doing(doing)?;
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message
            .attributes
            .push(LinkAttribute::IfAlias(mark.to_owned()));
        let marked = self.request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK);
        if let Err(error) = marked {
            self.remove(parent)?;
            return Err(error).doing(doing);
        }
        Ok(link.index)
    }

    /// Removes the interface with this name if it was made with this mark.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_marked(&self, name: &str, mark: &str) -> Result<()> {
        match self.find(name)? {
            Some(link) if link.alias.as_deref() == Some(mark) => self.remove(name),
            _ => Ok(()),
        }
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
        self.request(
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
        self.request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK)
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
        match self.request(RouteNetlinkMessage::DelLink(message), NLM_F_ACK) {
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
        self.request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK)
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
        self.request(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK,
        )
        .map(drop)
    }

    /// Sends a request and reads all its answers.
    fn request(
        &self,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = 1;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; 32 << 10];
        loop {
            let (count, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            if take(&buffer[..count], &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Takes the answers out of a datagram. `true` when there is nothing more to come.
fn take(mut bytes: &[u8], answers: &mut Vec<RouteNetlinkMessage>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let message =
            NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(io::Error::other)?;
        let length = (message.header.length as usize).next_multiple_of(4).max(16);
        match message.payload {
            NetlinkPayload::Error(error) => {
                return match error.code {
                    Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
                    None => Ok(true),
                };
            }
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::InnerMessage(message) => answers.push(message),
            _ => {}
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok(false)
}

fn kind(kind: UpperKind) -> (InfoKind, InfoData) {
    let macvlan = |mode| {
        let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)]);
        (InfoKind::MacVlan, data)
    };
    match kind {
        UpperKind::MacvlanBridge => macvlan(MacVlanMode::Bridge),
        UpperKind::MacvlanPrivate => macvlan(MacVlanMode::Private),
        UpperKind::MacvlanVepa => macvlan(MacVlanMode::Vepa),
        UpperKind::MacvlanPassthrough => macvlan(MacVlanMode::Passthrough),
        UpperKind::Ipvlan(mode, flag) => {
            let mode = match mode {
                IpvlanMode::L2 => IpVlanMode::L2,
                IpvlanMode::L3 => IpVlanMode::L3,
                IpvlanMode::L3s => IpVlanMode::L3S,
            };
            let mut data = vec![InfoIpVlan::Mode(mode)];
            match flag {
                IpvlanFlag::Bridge => {}
                IpvlanFlag::Private => data.push(InfoIpVlan::Flags(IpVlanFlags::Private)),
                IpvlanFlag::Vepa => data.push(InfoIpVlan::Flags(IpVlanFlags::Vepa)),
            }
            (InfoKind::IpVlan, InfoData::IpVlan(data))
        }
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

fn link(answer: &RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = answer else {
        return None;
    };
    let name = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
    let alias = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfAlias(alias) => Some(alias.clone()),
            _ => None,
        });
    let is_bridge = |info: &LinkInfo| matches!(info, LinkInfo::Kind(InfoKind::Bridge));
    Some(Link {
        index: message.header.index,
        name: name?,
        alias,
        is_bridge: message
            .attributes
            .iter()
            .any(|attribute| matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.iter().any(is_bridge))),
    })
}

/// The network that a route leads to.
fn route(answer: &RouteNetlinkMessage) -> Option<Cidr> {
    let RouteNetlinkMessage::NewRoute(message) = answer else {
        return None;
    };
    let is_network = message.header.kind == RouteType::Unicast
        && message.header.table == RouteHeader::RT_TABLE_MAIN
        && message.header.destination_prefix_length > 0;
    let destination = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        });
    let cidr = Cidr::new(destination?, message.header.destination_prefix_length)?;
    is_network.then_some(cidr)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::namespace::tests::{in_new_namespace, new_namespace};

    fn ip(arguments: &str) -> String {
        let output = Command::new("ip")
            .args(arguments.split(' '))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn a_container_reaches_its_bridge() {
        let Some((inside, _child)) = new_namespace() else {
            return;
        };
        let cidrs = |list: &[&str]| {
            list.iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<Cidr>>()
        };
        in_new_namespace(|| {
            let here = Routing::open().unwrap();
            here.raise_loopback().unwrap();
            let mac = Mac([2, 0x42, 10, 0, 0, 1]);
            let index = here
                .bridge(
                    "br0",
                    mac,
                    Some(1400),
                    &cidrs(&["10.0.0.1/24", "fd00::1/64"]),
                )
                .unwrap();
            // Again is fine.
            assert_eq!(
                here.bridge("br0", mac, Some(1400), &cidrs(&["10.0.0.1/24"]))
                    .unwrap(),
                index
            );
            let pair = Pair {
                name: "csys-1",
                bridge: index,
                namespace: &inside,
                peer: "eth0",
                mac: Mac([2, 0x42, 10, 0, 0, 2]),
                mtu: Some(1400),
                isolated: true,
            };
            here.pair(&pair).unwrap();
            let error = here.pair(&pair).unwrap_err().to_string();
            assert_eq!(
                error,
                "make interface eth0 of a container: File exists (os error 17)"
            );
            let shown = inside
                .run(|| {
                    let there = Routing::open()?;
                    there.raise_loopback()?;
                    let index = there.configure("eth0", &cidrs(&["10.0.0.2/24", "fd00::2/64"]))?;
                    there.set_default_route("10.0.0.9".parse().unwrap(), index)?;
                    there.set_default_route("10.0.0.1".parse().unwrap(), index)?;
                    there.set_default_route("fd00::1".parse().unwrap(), index)?;
                    let before = [ip("route show default"), ip("-6 route show default")];
                    for direct in ["0.0.0.0", "::"] {
                        there.set_default_route(direct.parse().unwrap(), index)?;
                    }
                    assert_eq!(ip("route show default"), "default dev eth0 scope link");
                    let direct = ip("-6 route show default");
                    assert!(direct.contains("default dev eth0 "), "{direct}");
                    assert!(!direct.contains("via"), "{direct}");
                    there.set_default_route("10.0.0.1".parse().unwrap(), index)?;
                    there.set_default_route("fd00::1".parse().unwrap(), index)?;
                    let after = [ip("route show default"), ip("-6 route show default")];
                    assert_eq!(after, before);
                    Ok(ip("-o -4 addr show eth0")
                        + "\n"
                        + &ip("route")
                        + "\n"
                        + &ip("-6 route show default")
                        + "\n"
                        + &ip("-o link show eth0"))
                })
                .unwrap();
            for expected in [
                "inet 10.0.0.2/24 brd 10.0.0.255 scope global eth0",
                "default via 10.0.0.1 dev eth0 \n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2",
                "default via fd00::1 dev eth0",
                "mtu 1400",
                "link/ether 02:42:0a:00:00:02",
            ] {
                assert!(shown.contains(expected), "{expected}:\n{shown}");
            }
            assert!(!shown.contains("10.0.0.9"), "{shown}");
            let port = ip("-d link show csys-1");
            assert!(
                port.contains("isolated on") && port.contains("hairpin on"),
                "{port}"
            );
            assert!(ip("link show br0").contains("02:42:0a:00:00:01"));
            let networks = here.networks().unwrap();
            assert!(
                networks.contains(&"10.0.0.0/24".parse().unwrap()),
                "{networks:?}"
            );
            here.remove("csys-1").unwrap();
            here.remove("csys-1").unwrap();
            assert!(
                inside
                    .run(|| Ok(Routing::open()?.find("eth0")?.is_none()))
                    .unwrap()
            );
            let names: Vec<_> = here
                .links()
                .unwrap()
                .into_iter()
                .map(|link| link.name)
                .collect();
            assert_eq!(names, ["lo", "br0"]);
            assert_eq!(
                here.bridge("lo", mac, None, &[]).unwrap_err().to_string(),
                "make bridge lo: File exists (os error 17)"
            );
        });
    }
}
