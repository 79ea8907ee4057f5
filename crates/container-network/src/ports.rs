//! Published ports: what clients ask for, and the ports of the machine that they get.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What carries the data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its number in IP's header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A container's port (API: `80/tcp`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ContainerPort {
    /// Its number.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl FromStr for ContainerPort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" | "" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => {
                return Err(Error::Invalid(format!(
                    "invalid port specification: \"{text}\""
                )));
            }
        };
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self { port, protocol }),
            _ => Err(Error::Invalid(format!(
                "invalid port specification: \"{text}\""
            ))),
        }
    }
}

impl fmt::Display for ContainerPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// What a client asks for one port of a container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortRequest {
    /// The container's port.
    pub container: ContainerPort,
    /// The machine's address; every one when absent.
    pub host_ip: Option<IpAddr>,
    /// The machine's port, or ports of which one is taken; any free one when absent.
    pub host_ports: Option<RangeInclusive<u16>>,
}

impl PortRequest {
    /// Reads a binding: `HostIp` and `HostPort`.
    ///
    /// # Errors
    /// Docker's texts for what is no address or no port.
    pub fn parse(container: ContainerPort, host_ip: &str, host_port: &str) -> Result<Self> {
        let host_ip = match host_ip.trim_matches(['[', ']']) {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| Error::Invalid(format!("invalid IP address: {host_ip}")))?,
            ),
        };
        let number = |text: &str| {
            text.parse::<u16>()
                .map_err(|_| Error::Invalid(format!("invalid port specification: \"{host_port}\"")))
        };
        let host_ports = match host_port.split_once('-') {
            None if matches!(host_port, "" | "0") => None,
            None => Some(number(host_port)?).map(|port| port..=port),
            Some((first, last)) => Some(number(first)?..=number(last)?),
        };
        if host_ports.as_ref().is_some_and(RangeInclusive::is_empty) {
            return Err(Error::Invalid(format!(
                "invalid port specification: \"{host_port}\""
            )));
        }
        Ok(Self {
            container,
            host_ip,
            host_ports,
        })
    }
}

/// A port of the machine that leads to one of a container.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Published {
    /// The container's port.
    pub container: ContainerPort,
    /// The machine's address, or the unspecified one of a family for every one.
    pub host_ip: IpAddr,
    /// The machine's port.
    pub host_port: u16,
}

/// The machine's ports that are taken for containers. Each is held by a socket that is bound but does not listen: no other program gets
/// the port, and what does not come by the rules finds it closed.
#[derive(Debug, Default)]
pub struct HostPorts {
    held: BTreeMap<(Protocol, SocketAddr), OwnedFd>,
    /// The one given last without being asked for: a port does not come back at once.
    last: u16,
}

impl HostPorts {
    /// Takes over what a predecessor held; `last` is the port that it had given last without being asked for one.
    pub fn inherited(
        held: impl IntoIterator<Item = (Protocol, SocketAddr, OwnedFd)>,
        last: u16,
    ) -> Self {
        let held = held.into_iter();
        Self {
            held: held
                .map(|(protocol, address, socket)| ((protocol, address), socket))
                .collect(),
            last,
        }
    }

    /// Every port that is held, with a copy of its socket.
    ///
    /// # Errors
    /// When there is no room for a descriptor.
    pub fn copies(&self) -> std::io::Result<Vec<(Protocol, SocketAddr, OwnedFd)>> {
        let copies = self
            .held
            .iter()
            .map(|((protocol, address), socket)| Ok((*protocol, *address, socket.try_clone()?)));
        copies.collect()
    }

    /// The port that was given last without being asked for.
    pub fn last(&self) -> u16 {
        self.last
    }

    /// Takes what `requests` ask for on behalf of a container that has addresses of these families; all or nothing.
    ///
    /// # Errors
    /// Docker's texts when a port is taken.
    pub fn take(
        &mut self,
        requests: &[PortRequest],
        has_ipv4: bool,
        has_ipv6: bool,
    ) -> Result<Vec<Published>> {
        let mut taken = Vec::new();
        for request in requests {
            let addresses: Vec<IpAddr> = match request.host_ip {
                Some(address) if address.is_ipv6() && has_ipv6 || address.is_ipv4() && has_ipv4 => {
                    vec![address]
                }
                Some(_) => Vec::new(),
                None => [
                    has_ipv4.then_some(Ipv4Addr::UNSPECIFIED.into()),
                    has_ipv6.then_some(Ipv6Addr::UNSPECIFIED.into()),
                ]
                .into_iter()
                .flatten()
                .collect(),
            };
            if addresses.is_empty() {
                continue;
            }
            match self.take_one(request, &addresses) {
                Ok(published) => taken.extend(published),
                Err(error) => {
                    self.release(&taken);
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    /// The same port on all addresses.
    fn take_one(&mut self, request: &PortRequest, addresses: &[IpAddr]) -> Result<Vec<Published>> {
        let protocol = request.container.protocol;
        let mut error = Error::Unavailable("all ports are allocated".into());
        for port in self.candidates(request.host_ports.as_ref()) {
            let mut sockets = Vec::new();
            for address in addresses {
                match self.hold(protocol, SocketAddr::new(*address, port)) {
                    Ok(socket) => sockets.push((SocketAddr::new(*address, port), socket)),
                    Err(why) => {
                        error = why;
                        break;
                    }
                }
            }
            if sockets.len() < addresses.len() {
                continue;
            }
            if request.host_ports.is_none() {
                self.last = port;
            }
            let published = |address: &IpAddr| Published {
                container: request.container,
                host_ip: *address,
                host_port: port,
            };
            self.held.extend(
                sockets
                    .into_iter()
                    .map(|(address, socket)| ((protocol, address), socket)),
            );
            return Ok(addresses.iter().map(published).collect());
        }
        Err(error)
    }

    fn candidates(&self, asked: Option<&RangeInclusive<u16>>) -> Vec<u16> {
        if let Some(range) = asked {
            return range.clone().collect();
        }
        let range = ephemeral(
            &fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default(),
        );
        let next = if range.contains(&self.last) {
            self.last + 1
        } else {
            *range.start()
        };
        (next..=*range.end()).chain(*range.start()..next).collect()
    }

    fn hold(&self, protocol: Protocol, address: SocketAddr) -> Result<OwnedFd> {
        bound(protocol, address).map_err(|errno| {
            let overlaps = |other: &(Protocol, SocketAddr)| {
                other.0 == protocol
                    && other.1.port() == address.port()
                    && other.1.is_ipv6() == address.is_ipv6()
                    && (other.1.ip() == address.ip()
                        || other.1.ip().is_unspecified()
                        || address.ip().is_unspecified())
            };
            Error::Unavailable(match errno {
                Errno::ADDRINUSE if self.held.keys().any(overlaps) => {
                    format!("Bind for {address} failed: port is already allocated")
                }
                Errno::ADDRINUSE => {
                    format!("failed to bind host port {address}/{protocol}: address already in use")
                }
                other => format!(
                    "failed to bind host port {address}/{protocol}: {}",
                    std::io::Error::from(other)
                ),
            })
        })
    }

    /// Gives ports back.
    pub fn release(&mut self, published: &[Published]) {
        for port in published {
            let address = SocketAddr::new(port.host_ip, port.host_port);
            self.held.remove(&(port.container.protocol, address));
        }
    }
}

/// `net.ipv4.ip_local_port_range`; the kernel's default where it cannot be read.
fn ephemeral(text: &str) -> RangeInclusive<u16> {
    let mut words = text.split_whitespace().map(|word| word.parse().ok());
    match (words.next().flatten(), words.next().flatten()) {
        (Some(first), Some(last)) if first < last && last < u16::MAX => first..=last,
        _ => 32768..=60999,
    }
}

fn bound(protocol: Protocol, address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::namespace::tests::in_new_namespace;

    #[test]
    fn container_ports_are_numbers_with_a_protocol() {
        for (text, expected) in [
            ("80/tcp", Ok("80/tcp")),
            ("80", Ok("80/tcp")),
            ("53/UDP", Ok("53/udp")),
            ("0/tcp", Err("invalid port specification: \"0/tcp\"")),
            ("x", Err("invalid port specification: \"x\"")),
            ("80/ip", Err("invalid port specification: \"80/ip\"")),
        ] {
            let parsed = text.parse::<ContainerPort>();
            let parsed = parsed
                .map(|port| port.to_string())
                .map_err(|error| error.to_string());
            assert_eq!(parsed, expected.map(str::to_owned).map_err(str::to_owned));
        }
    }

    #[test]
    fn bindings_are_addresses_and_ranges() {
        let container = "80/tcp".parse().unwrap();
        for (ip, port, expected) in [
            ("", "", Ok((None, None))),
            ("", "0", Ok((None, None))),
            (
                "127.0.0.1",
                "8080",
                Ok((Some("127.0.0.1"), Some(8080..=8080))),
            ),
            ("[::1]", "8080-8082", Ok((Some("::1"), Some(8080..=8082)))),
            ("x", "1", Err("invalid IP address: x")),
            ("", "x", Err("invalid port specification: \"x\"")),
            ("", "9-8", Err("invalid port specification: \"9-8\"")),
            ("", "70000", Err("invalid port specification: \"70000\"")),
        ] {
            let parsed = PortRequest::parse(container, ip, port)
                .map(|request| (request.host_ip.map(|ip| ip.to_string()), request.host_ports))
                .map_err(|error| error.to_string());
            let expected = expected
                .map(|(ip, ports): (Option<&str>, _)| (ip.map(str::to_owned), ports))
                .map_err(str::to_owned);
            assert_eq!(parsed, expected);
        }
    }

    #[test]
    fn the_range_of_free_ports_is_the_kernels() {
        for (text, expected) in [
            ("32768\t60999\n", 32768..=60999),
            ("10 20", 10..=20),
            ("", 32768..=60999),
            ("20 10", 32768..=60999),
        ] {
            assert_eq!(ephemeral(text), expected);
        }
    }

    #[test]
    fn ports_are_taken_once() {
        let Some(()) = in_new_namespace(|| {
            let mut ports = HostPorts::default();
            let request = |text: &str, ip: &str, port: &str| {
                PortRequest::parse(text.parse().unwrap(), ip, port).unwrap()
            };
            let shown = |published: Vec<Published>| {
                let list: Vec<_> = published
                    .iter()
                    .map(|port| format!("{}:{}->{}", port.host_ip, port.host_port, port.container))
                    .collect();
                list.join(" ")
            };
            let mut take = |requests: &[PortRequest], v6| {
                ports
                    .take(requests, true, v6)
                    .map(shown)
                    .map_err(|error| error.to_string())
            };
            let other = UdpSocket::bind("0.0.0.0:5353").unwrap();
            for (requests, v6, expected) in [
                (
                    vec![request("80/tcp", "", "8080")],
                    false,
                    Ok("0.0.0.0:8080->80/tcp"),
                ),
                (
                    vec![request("80/tcp", "", "8080")],
                    false,
                    Err("Bind for 0.0.0.0:8080 failed: port is already allocated"),
                ),
                (
                    vec![
                        request("81/tcp", "", "9000"),
                        request("80/tcp", "127.0.0.1", "8080"),
                    ],
                    false,
                    Err("Bind for 127.0.0.1:8080 failed: port is already allocated"),
                ),
                (
                    vec![request("81/tcp", "", "9000")],
                    true,
                    Ok("0.0.0.0:9000->81/tcp :::9000->81/tcp"),
                ),
                (
                    vec![request("80/udp", "", "8080-8085")],
                    false,
                    Ok("0.0.0.0:8080->80/udp"),
                ),
                (
                    vec![request("80/tcp", "", "8080-8085")],
                    false,
                    Ok("0.0.0.0:8081->80/tcp"),
                ),
                (
                    vec![request("80/tcp", "", "")],
                    false,
                    Ok("0.0.0.0:32768->80/tcp"),
                ),
                (
                    vec![request("80/tcp", "", "")],
                    true,
                    Ok("0.0.0.0:32769->80/tcp :::32769->80/tcp"),
                ),
                (vec![request("80/tcp", "::1", "80")], false, Ok("")),
                (
                    vec![request("53/udp", "", "5353")],
                    false,
                    Err("failed to bind host port 0.0.0.0:5353/udp: address already in use"),
                ),
            ] {
                assert_eq!(
                    take(&requests, v6),
                    expected.map(str::to_owned).map_err(str::to_owned)
                );
            }
            drop(other);
            let published = Published {
                container: "80/tcp".parse().unwrap(),
                host_ip: [0, 0, 0, 0].into(),
                host_port: 8080,
            };
            ports.release(&[published]);
            ports
                .take(&[request("80/tcp", "", "8080")], true, false)
                .unwrap();
        }) else {
            return;
        };
    }
}
