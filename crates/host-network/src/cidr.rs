//! An interface address with its prefix length, as written in configuration: `192.168.1.5/24`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Address and prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The host's address, not the network's.
    pub address: IpAddr,
    /// Bits of the network part, 0–32 or 0–128.
    pub prefix: u8,
}

impl Cidr {
    /// An IPv4 address with a netmask as DHCP gives it (option 1). A mask with holes counts its leading ones.
    pub fn with_netmask(address: Ipv4Addr, mask: Ipv4Addr) -> Self {
        Self {
            address: address.into(),
            prefix: u32::from(mask).leading_ones() as u8,
        }
    }

    /// Whether `other` is on this address's network, so that it is reachable without a gateway.
    pub fn contains(&self, other: IpAddr) -> bool {
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        match (bits(self.address), bits(other)) {
            _ if self.address.is_ipv4() != other.is_ipv4() => false,
            _ if self.prefix == 0 => true,
            (a, b) => a >> (width - self.prefix) == b >> (width - self.prefix),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((address, prefix)) = text.trim().split_once('/') else {
            return Err(format!("no prefix length; write for instance {text}/24"));
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| format!("{address:?} is not an IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        match prefix.parse() {
            Ok(prefix) if prefix <= most => Ok(Self { address, prefix }),
            _ => Err(format!(
                "{prefix:?} is not a prefix length between 0 and {most}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_address_and_prefix_or_says_why_not() {
        let table = [
            ("10.0.0.1/8", Ok("10.0.0.1/8")),
            (" fd00::1/64 ", Ok("fd00::1/64")),
            (
                "10.0.0.1",
                Err("no prefix length; write for instance 10.0.0.1/24"),
            ),
            (
                "10.0.0.1/33",
                Err("\"33\" is not a prefix length between 0 and 32"),
            ),
            ("10.0.0/8", Err("\"10.0.0\" is not an IP address")),
        ];
        for (text, expected) in table {
            let got = text.parse::<Cidr>().map(|cidr| cidr.to_string());
            assert_eq!(
                got,
                expected.map(String::from).map_err(String::from),
                "{text}"
            );
        }
    }

    #[test]
    fn network_membership() {
        let table = [
            ("10.1.2.3/24", "10.1.2.99", true),
            ("10.1.2.3/24", "10.1.3.1", false),
            ("10.1.2.3/32", "10.1.2.1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("fd00::1/64", "fd00::2", true),
            ("fd00::1/64", "10.0.0.1", false),
        ];
        for (network, address, expected) in table {
            let cidr: Cidr = network.parse().unwrap();
            assert_eq!(
                cidr.contains(address.parse().unwrap()),
                expected,
                "{address} in {network}"
            );
        }
    }

    #[test]
    fn netmask_becomes_prefix() {
        let cidr = Cidr::with_netmask(
            "10.0.2.15".parse().unwrap(),
            "255.255.255.0".parse().unwrap(),
        );
        assert_eq!(cidr.to_string(), "10.0.2.15/24");
    }
}
