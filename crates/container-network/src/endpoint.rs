//! A container's place in a network, while the container runs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::error::{Error, Result};
use crate::ports::Published;

/// Address of an Ethernet interface.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let mut octets = [0; 6];
            let mut words = text.split([':', '-']);
            for octet in &mut octets {
                let word = words.next().filter(|word| word.len() == 2)?;
                *octet = u8::from_str_radix(word, 16).ok()?;
            }
            words.next().is_none().then_some(Self(octets))
        };
        // A group address is no interface's.
        parse()
            .filter(|mac| mac.0[0] & 1 == 0)
            .ok_or_else(|| Error::Invalid(format!("{text} is not a valid mac address")))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for Mac {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Endpoint {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Id of the network.
    pub network: String,
    /// Id of the container.
    pub container: String,
    /// Name of the interface in the container.
    pub interface: String,
    /// Its address.
    pub mac: Mac,
    /// Its addresses with the prefixes of the subnets, at most one of each family.
    pub addresses: Vec<Cidr>,
    /// The bridge's addresses, when they lead out. The unspecified address: everything is reached without one.
    pub gateways: Vec<IpAddr>,
    /// Which network of several has the default route: the highest number.
    pub gateway_priority: i64,
    /// Kernel parameters of the interface: paths below `/proc/sys`, and values.
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
    /// By which names the others of the network find it.
    pub names: Vec<String>,
    /// Its own names for neighbours: alias and name.
    #[serde(default)]
    pub links: Vec<(String, String)>,
    /// Ports of the machine that lead to it.
    pub ports: Vec<Published>,
}

impl Endpoint {
    /// The interface's other end, on the bridge. Names of User Docker's begin with `veth`: ours must not, as the ones that are left over
    /// are found by name.
    pub fn host_interface(&self) -> String {
        format!("{HOST_PREFIX}{}", self.id.get(..10).unwrap_or(&self.id))
    }

    /// Its address of a family.
    pub fn address(&self, is_ipv6: bool) -> Option<Cidr> {
        self.addresses
            .iter()
            .copied()
            .find(|cidr| cidr.is_ipv6() == is_ipv6)
    }

    /// Its gateway of a family.
    pub fn gateway(&self, is_ipv6: bool) -> Option<IpAddr> {
        self.gateways
            .iter()
            .copied()
            .find(|ip| ip.is_ipv6() == is_ipv6)
    }
}

/// How the names of all our interfaces on bridges begin.
pub const HOST_PREFIX: &str = "csys-";

/// Which of a container's endpoints has the default route of a family: Docker's order is the priority, then the network's name.
pub fn default_route<'a>(
    endpoints: impl IntoIterator<Item = (&'a str, &'a Endpoint)>,
    is_ipv6: bool,
) -> Option<&'a Endpoint> {
    endpoints
        .into_iter()
        .filter(|(_, endpoint)| endpoint.gateway(is_ipv6).is_some())
        .min_by_key(|(name, endpoint)| (-endpoint.gateway_priority, *name))
        .map(|(_, endpoint)| endpoint)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An endpoint with an address.
    pub(crate) fn endpoint(id: &str, address: &str, gateway: &str) -> Endpoint {
        Endpoint {
            id: format!("{id}0123456789"),
            network: "net".into(),
            container: format!("{id}-container"),
            interface: "eth0".into(),
            mac: Mac([2, 0x42, 0, 0, 0, 1]),
            addresses: vec![address.parse().unwrap()],
            gateways: gateway.parse().into_iter().collect(),
            gateway_priority: 0,
            names: vec![id.into()],
            sysctls: Vec::new(),
            links: Vec::new(),
            ports: Vec::new(),
        }
    }

    #[test]
    fn mac_addresses_are_six_numbers() {
        for (text, expected) in [
            ("02:42:AC:11:00:02", Ok("02:42:ac:11:00:02")),
            ("02-42-ac-11-00-02", Ok("02:42:ac:11:00:02")),
            ("02:42:ac:11:00", Err(())),
            ("02:42:ac:11:00:02:03", Err(())),
            ("2:42:ac:11:00:02", Err(())),
            ("03:42:ac:11:00:02", Err(())),
            ("", Err(())),
        ] {
            let parsed = text
                .parse::<Mac>()
                .map(|mac| mac.to_string())
                .map_err(|error| error.to_string());
            assert_eq!(
                parsed,
                expected
                    .map(str::to_owned)
                    .map_err(|()| format!("{text} is not a valid mac address"))
            );
        }
    }

    #[test]
    fn one_network_has_the_default_route() {
        let (a, b) = (
            endpoint("a", "10.0.0.2/24", "10.0.0.1"),
            endpoint("b", "10.1.0.2/24", "10.1.0.1"),
        );
        let internal = endpoint("c", "10.2.0.2/24", "");
        let mut preferred = endpoint("d", "10.3.0.2/24", "10.3.0.1");
        preferred.gateway_priority = 5;
        for (list, expected) in [
            (vec![("zoo", &a), ("bar", &b)], Some("b")),
            (vec![("zoo", &a), ("bar", &internal)], Some("a")),
            (vec![("bar", &internal)], None),
            (vec![("zoo", &preferred), ("bar", &b)], Some("d")),
        ] {
            let found = default_route(list.clone(), false);
            assert_eq!(found.map(|endpoint| endpoint.names[0].as_str()), expected);
            assert_eq!(default_route(list, true), None);
        }
    }
}
