//! What the kernel's answers say.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteType};

use super::Link;
use crate::cidr::Cidr;

/// The interface that an answer describes.
pub fn link(answer: &RouteNetlinkMessage) -> Option<Link> {
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
pub fn route(answer: &RouteNetlinkMessage) -> Option<Cidr> {
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
