//! Interfaces on top of one of the machine's: macvlan and ipvlan.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, IpVlanFlags, IpVlanMode, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use rustix::io::Errno;

use super::Routing;
use crate::endpoint::Mac;
use crate::error::{Doing, Error, Result};
use crate::namespace::Namespace;
use crate::upper::{IpvlanFlag, IpvlanMode, Making, Upper, UpperKind};

impl Routing {
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
        self.socket
            .request(
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
        self.socket
            .request(
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
        let marked = self
            .socket
            .request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK);
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
