//! A network as it is kept.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::error::{Error, Result};
use crate::ipam::Pool;

/// What makes a network work.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the machine.
    Bridge,
    /// The machine's own interfaces.
    Host,
    /// Nothing but loopback.
    Null,
    /// Interfaces with addresses of their own on one of the machine's.
    Macvlan,
    /// The same with the Ethernet address of the machine's.
    Ipvlan,
}

impl Driver {
    /// The `Driver` field of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }
}

/// A network.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Unique.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// What makes it work.
    pub driver: Driver,
    /// Endpoints have an IPv4 address.
    pub enable_ipv4: bool,
    /// Endpoints have an IPv6 address.
    pub enable_ipv6: bool,
    /// Nothing leads out of it.
    pub internal: bool,
    /// Kept for clients; it means something in a swarm only.
    pub attachable: bool,
    /// Its addresses; at most one pool of each family is used.
    pub pools: Vec<Pool>,
    /// Options of IPAM, for clients.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// For clients.
    pub labels: BTreeMap<String, String>,
}

impl Network {
    /// A network for IPv4 without addresses, options and labels.
    pub fn new(id: String, name: String, created: String, driver: Driver) -> Self {
        Self {
            id,
            name,
            created,
            driver,
            enable_ipv4: true,
            enable_ipv6: false,
            internal: false,
            attachable: false,
            pools: Vec::new(),
            ipam_options: None,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Whether it is one of Docker's own, which are always there.
    pub fn is_predefined(&self) -> bool {
        is_predefined(&self.name)
    }

    /// Whether containers of it find each other by name.
    pub fn has_name_server(&self) -> bool {
        !self.is_predefined()
    }

    /// The pool of a family.
    pub fn pool(&self, is_ipv6: bool) -> Option<&Pool> {
        self.pools
            .iter()
            .find(|pool| pool.subnet.is_ipv6() == is_ipv6)
    }

    /// How its bridge is made. `None` when it has none.
    pub fn bridge(&self) -> Option<Bridge> {
        // The options were checked when the network was made.
        (self.driver == Driver::Bridge)
            .then(|| Bridge::parse(self).unwrap_or_else(|_| Bridge::plain(self)))
    }
}

/// Whether a network of this name is always there.
pub fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none" | "default")
}

/// A network's bridge (Docker: options of the bridge driver).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bridge {
    /// Name of the device.
    pub device: String,
    /// `com.docker.network.bridge.enable_icc`: endpoints reach each other.
    pub inter_container: bool,
    /// `com.docker.network.bridge.enable_ip_masquerade`: what leaves has the machine's address.
    pub masquerade: bool,
    /// `com.docker.network.bridge.host_binding_ipv4`: where ports are published that name no address.
    pub host_binding: Option<Ipv4Addr>,
    /// `com.docker.network.driver.mtu`, bytes; the kernel's default when absent.
    pub mtu: Option<u32>,
    /// `com.docker.network.container_iface_prefix`: names of interfaces in containers begin with this.
    pub interface_prefix: String,
    /// Nothing leads out.
    pub internal: bool,
    /// Its addresses with the prefixes of the subnets.
    pub addresses: Vec<Cidr>,
}

impl Bridge {
    fn plain(network: &Network) -> Self {
        let address = |pool: &Pool| Cidr {
            address: pool.gateway,
            prefix: pool.subnet.prefix,
        };
        Self {
            device: format!("br-{}", network.id.get(..12).unwrap_or(&network.id)),
            inter_container: true,
            masquerade: true,
            host_binding: None,
            mtu: None,
            interface_prefix: "eth".to_owned(),
            internal: network.internal,
            addresses: network.pools.iter().map(address).collect(),
        }
    }

    /// Reads the options of a network.
    ///
    /// # Errors
    /// When a value is none of its kind.
    pub fn parse(network: &Network) -> Result<Self> {
        let mut bridge = Self::plain(network);
        for (name, value) in &network.options {
            let invalid = |what: &str| {
                Error::Invalid(format!(
                    "invalid value \"{value}\" for option {name}: {what}"
                ))
            };
            let flag = || match value.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
                _ => Err(invalid("neither true nor false")),
            };
            match name.as_str() {
                "com.docker.network.bridge.name" if !value.is_empty() => {
                    if !is_device_name(value) {
                        return Err(invalid("not the name of a network interface"));
                    }
                    bridge.device.clone_from(value);
                }
                "com.docker.network.bridge.enable_icc" => bridge.inter_container = flag()?,
                "com.docker.network.bridge.enable_ip_masquerade" => bridge.masquerade = flag()?,
                "com.docker.network.bridge.host_binding_ipv4" if !value.is_empty() => {
                    let address: Ipv4Addr =
                        value.parse().map_err(|_| invalid("not an IPv4 address"))?;
                    bridge.host_binding = Some(address).filter(|address| !address.is_unspecified());
                }
                "com.docker.network.driver.mtu" => {
                    let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
                    bridge.mtu =
                        Some(mtu.ok_or_else(|| invalid("not a number of bytes from 68 to 65535"))?);
                }
                "com.docker.network.container_iface_prefix" if !value.is_empty() => {
                    if !is_device_name(&format!("{value}00")) {
                        return Err(invalid("not the beginning of a network interface's name"));
                    }
                    bridge.interface_prefix.clone_from(value);
                }
                _ => {}
            }
        }
        Ok(bridge)
    }

    /// The subnets.
    pub fn subnets(&self) -> impl Iterator<Item = Cidr> {
        self.addresses.iter().map(|address| address.network())
    }
}

/// Whether an interface can have this name (kernel: `dev_valid_name`).
pub fn is_device_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/:\"".contains(&byte))
}

/// Docker's default address of an endpoint's interface: 02:42 and the IPv4 address; without one, the end of the IPv6 address.
pub fn mac_address(ip: IpAddr) -> [u8; 6] {
    let [a, b, c, d] = match ip {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
    };
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A network with these options.
    pub(crate) fn network(subnets: &[&str], options: &[(&str, &str)]) -> Network {
        let pool = |text: &&str| {
            let subnet: Cidr = text.parse().unwrap();
            Pool {
                subnet,
                range: None,
                gateway: subnet.addresses().nth(1).unwrap(),
                auxiliary: BTreeMap::new(),
                configured: true,
            }
        };
        Network {
            id: "0123456789abcdef".repeat(4),
            name: "net".into(),
            created: "2026-01-01T00:00:00Z".into(),
            driver: Driver::Bridge,
            enable_ipv4: true,
            enable_ipv6: false,
            internal: false,
            attachable: false,
            pools: subnets.iter().map(pool).collect(),
            ipam_options: None,
            options: options
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn options_make_the_bridge() {
        let plain = network(&["10.0.0.0/24", "fd00::/64"], &[])
            .bridge()
            .unwrap();
        assert_eq!(
            plain,
            Bridge {
                device: "br-0123456789ab".into(),
                inter_container: true,
                masquerade: true,
                host_binding: None,
                mtu: None,
                interface_prefix: "eth".into(),
                internal: false,
                addresses: vec![
                    "10.0.0.1/24".parse().unwrap(),
                    "fd00::1/64".parse().unwrap()
                ],
            }
        );
        let all = network(
            &["10.0.0.0/24", "fd00::/64"],
            &[
                ("com.docker.network.bridge.name", "br0"),
                ("com.docker.network.bridge.enable_icc", "false"),
                ("com.docker.network.bridge.enable_ip_masquerade", "0"),
                ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"),
                ("com.docker.network.driver.mtu", "1400"),
                ("com.docker.network.container_iface_prefix", "lan"),
                ("other", "x"),
            ],
        );
        assert_eq!(
            Bridge::parse(&all).unwrap(),
            Bridge {
                device: "br0".into(),
                inter_container: false,
                masquerade: false,
                host_binding: Some(Ipv4Addr::LOCALHOST),
                mtu: Some(1400),
                interface_prefix: "lan".into(),
                ..plain
            }
        );
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (name, value, what) in [
            (
                "com.docker.network.bridge.name",
                "a-name-that-is-too-long",
                "not the name of a network interface",
            ),
            (
                "com.docker.network.bridge.name",
                "a/b",
                "not the name of a network interface",
            ),
            (
                "com.docker.network.bridge.enable_icc",
                "maybe",
                "neither true nor false",
            ),
            (
                "com.docker.network.bridge.host_binding_ipv4",
                "::1",
                "not an IPv4 address",
            ),
            (
                "com.docker.network.driver.mtu",
                "5",
                "not a number of bytes from 68 to 65535",
            ),
        ] {
            let error = Bridge::parse(&network(&["10.0.0.0/24"], &[(name, value)])).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("invalid value \"{value}\" for option {name}: {what}")
            );
        }
    }

    #[test]
    fn mac_addresses_follow_from_addresses() {
        assert_eq!(
            mac_address("172.17.0.2".parse().unwrap()),
            [2, 0x42, 172, 17, 0, 2]
        );
        assert_eq!(
            mac_address("fd00::1:2".parse().unwrap()),
            [2, 0x42, 0, 1, 0, 2]
        );
    }
}
