//! An address with the length of its network's prefix: `10.0.0.5/24`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address in its network, or (when [`Cidr::is_network`]) the network itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// How many leading bits are the network's.
    pub prefix: u8,
}

impl Cidr {
    /// `None` when the prefix is longer than an address of this family.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= width(address)).then_some(Self { address, prefix })
    }

    /// Whether it is of IPv6.
    pub fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// The network: all bits behind the prefix are zero.
    pub fn network(self) -> Self {
        let address = from_bits(bits(self.address) & self.mask(), self.is_ipv6());
        Self { address, ..self }
    }

    /// Whether all bits behind the prefix are zero.
    pub fn is_network(self) -> bool {
        self.network() == self
    }

    /// The last address of the network; IPv4's broadcast address.
    pub fn last(self) -> IpAddr {
        from_bits(
            bits(self.address) | !self.mask() & self.all(),
            self.is_ipv6(),
        )
    }

    /// Whether `address` is in the network.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6()
            && bits(address) & self.mask() == bits(self.address) & self.mask()
    }

    /// Whether the two networks have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        if self.prefix <= other.prefix {
            self.contains(other.address)
        } else {
            other.contains(self.address)
        }
    }

    /// The addresses of the network in order, from its first (all zero) one.
    pub fn addresses(self) -> impl Iterator<Item = IpAddr> {
        let (first, last) = (bits(self.network().address), bits(self.last()));
        (first..=last).map(move |value| from_bits(value, self.is_ipv6()))
    }

    /// The networks with this longer prefix that it is made of.
    pub fn split(self, prefix: u8) -> impl Iterator<Item = Self> {
        let step = 1u128 << (width(self.address) - prefix);
        let (first, last) = (bits(self.network().address), bits(self.last()));
        (0..)
            .map(move |index| first + index * step)
            .take_while(move |value| *value <= last)
            .map(move |value| Self {
                address: from_bits(value, self.is_ipv6()),
                prefix,
            })
    }

    /// The prefix as an IPv4 or IPv6 mask.
    pub fn netmask(self) -> IpAddr {
        from_bits(self.mask(), self.is_ipv6())
    }

    fn all(self) -> u128 {
        if self.is_ipv6() {
            u128::MAX
        } else {
            u128::from(u32::MAX)
        }
    }

    fn mask(self) -> u128 {
        let host_bits = u32::from(width(self.address) - self.prefix);
        self.all().checked_shl(host_bits).unwrap_or(0) & self.all()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The text is no `ADDRESS/PREFIX`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct InvalidCidr(String);

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            Self::new(address.parse().ok()?, prefix.parse().ok()?)
        };
        parse().ok_or_else(|| InvalidCidr(text.to_owned()))
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(value: u128, is_ipv6: bool) -> IpAddr {
    if is_ipv6 {
        Ipv6Addr::from_bits(value).into()
    } else {
        // The value is made of IPv4 addresses and masks only: nothing is cut off.
        Ipv4Addr::from_bits(value as u32).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_have_a_first_a_last_address_and_a_mask() {
        for (text, network, last, mask) in [
            ("10.1.2.3/16", "10.1.0.0/16", "10.1.255.255", "255.255.0.0"),
            ("10.1.2.3/32", "10.1.2.3/32", "10.1.2.3", "255.255.255.255"),
            ("10.1.2.3/0", "0.0.0.0/0", "255.255.255.255", "0.0.0.0"),
            (
                "fd00::5/64",
                "fd00::/64",
                "fd00::ffff:ffff:ffff:ffff",
                "ffff:ffff:ffff:ffff::",
            ),
            (
                "::/0",
                "::/0",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "::",
            ),
        ] {
            let cidr = cidr(text);
            assert_eq!(cidr.network().to_string(), network);
            assert_eq!(cidr.last().to_string(), last);
            assert_eq!(cidr.netmask().to_string(), mask);
            assert_eq!(cidr.is_network(), text == network);
        }
    }

    #[test]
    fn what_is_no_cidr_is_refused() {
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1/33",
            "10.0.0/8",
            "fd00::/129",
            "a/8",
            "10.0.0.1/-1",
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert_eq!(error, format!("invalid CIDR address: {text}"));
        }
    }

    #[test]
    fn overlaps_are_found_both_ways_and_never_between_families() {
        for (one, other, expected) in [
            ("10.0.0.0/8", "10.5.0.0/16", true),
            ("10.0.0.0/16", "10.1.0.0/16", false),
            ("0.0.0.0/0", "10.1.0.0/16", true),
            ("::/0", "10.1.0.0/16", false),
            ("fd00::/48", "fd00:0:0:1::/64", true),
        ] {
            assert_eq!(cidr(one).overlaps(cidr(other)), expected, "{one} {other}");
            assert_eq!(cidr(other).overlaps(cidr(one)), expected, "{other} {one}");
        }
    }

    #[test]
    fn networks_are_made_of_addresses_and_smaller_networks() {
        let addresses: Vec<_> = cidr("10.0.0.8/30")
            .addresses()
            .map(|ip| ip.to_string())
            .collect();
        assert_eq!(
            addresses,
            ["10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11"]
        );
        let split: Vec<_> = cidr("192.168.0.0/18")
            .split(20)
            .map(|net| net.to_string())
            .collect();
        assert_eq!(
            split,
            [
                "192.168.0.0/20",
                "192.168.16.0/20",
                "192.168.32.0/20",
                "192.168.48.0/20"
            ]
        );
    }
}
