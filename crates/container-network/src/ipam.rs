//! Which addresses belong to which network: pools, and addresses out of them (Docker: `default` IPAM driver).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::error::{Error, Result};

/// A network's part of the address space (API: an entry of `IPAM.Config`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Pool {
    /// All addresses.
    pub subnet: Cidr,
    /// Endpoints get theirs from here; the whole subnet when absent.
    #[serde(default)]
    pub range: Option<Cidr>,
    /// The bridge's own address, on an internal network too.
    pub gateway: IpAddr,
    /// Addresses that nobody gets, by name.
    #[serde(default)]
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// The client chose the subnet, and may choose addresses in it.
    #[serde(default)]
    pub configured: bool,
}

/// What a client asks of a pool; an empty one is of Docker's making.
#[derive(Clone, Debug, Default)]
pub struct PoolRequest {
    /// `Subnet`.
    pub subnet: Option<String>,
    /// `IPRange`.
    pub range: Option<String>,
    /// `Gateway`.
    pub gateway: Option<String>,
    /// `AuxiliaryAddresses`.
    pub auxiliary: BTreeMap<String, String>,
}

/// A [`PoolRequest`] that makes sense in itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CheckedRequest {
    subnet: Option<Cidr>,
    range: Option<Cidr>,
    gateway: Option<IpAddr>,
    auxiliary: BTreeMap<String, IpAddr>,
}

/// The subnets that networks get which ask for none, in Docker's order: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in
/// steps of 20 bits.
pub fn default_pools() -> impl Iterator<Item = Cidr> {
    let cidr = |octets: [u8; 4], prefix| Cidr {
        address: IpAddr::from(octets),
        prefix,
    };
    (17..=31)
        .map(move |second| cidr([172, second, 0, 0], 16))
        .chain(cidr([192, 168, 0, 0], 16).split(20))
}

/// Checks what a client asks for.
///
/// # Errors
/// Docker's texts, all of them together.
pub fn check(requests: &[PoolRequest]) -> Result<Vec<CheckedRequest>> {
    let mut errors = Vec::new();
    let checked = requests
        .iter()
        .map(|request| check_one(request, &mut errors))
        .collect();
    match errors.as_slice() {
        [] => Ok(checked),
        [one] => Err(Error::Invalid(format!("invalid network config:\n{one}"))),
        many => Err(Error::Invalid(format!(
            "invalid network config:\n* {}",
            many.join("\n* ")
        ))),
    }
}

fn check_one(request: &PoolRequest, errors: &mut Vec<String>) -> CheckedRequest {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut checked = CheckedRequest::default();
    if let Some(text) = given(&request.subnet) {
        match text.parse::<Cidr>() {
            Ok(subnet) if subnet.is_network() => checked.subnet = Some(subnet),
            Ok(subnet) => {
                errors.push(format!(
                    "invalid subnet {text}: it should be {}",
                    subnet.network()
                ));
                checked.subnet = Some(subnet.network());
            }
            Err(_) => errors.push(format!(
                "invalid subnet {text}: invalid CIDR block notation"
            )),
        }
    }
    // Without a subnet Docker says so about every part that only makes sense in one.
    let family = if checked.subnet.is_some_and(Cidr::is_ipv6) {
        6
    } else {
        4
    };
    let inside = |address: IpAddr| match checked.subnet {
        Some(subnet) if subnet.is_ipv6() != address.is_ipv6() => {
            Err(format!("parent subnet is an IPv{family} block"))
        }
        Some(subnet) if !subnet.contains(address) => Err(format!(
            "parent subnet {subnet} doesn't contain this address"
        )),
        Some(_) => Ok(address),
        None => Err("no subnet is given that could contain it".to_owned()),
    };
    let address = |text: &str| {
        text.parse::<IpAddr>()
            .map_err(|_| "invalid address".to_owned())
            .and_then(inside)
    };
    if let Some(text) = given(&request.range) {
        match (text.parse::<Cidr>(), checked.subnet) {
            (Err(_), _) => errors.push(format!(
                "invalid ip-range {text}: invalid CIDR block notation"
            )),
            (Ok(range), Some(subnet)) if range.is_ipv6() != subnet.is_ipv6() => {
                errors.push(format!(
                    "invalid ip-range {text}: parent subnet is an IPv{family} block"
                ));
            }
            (Ok(range), Some(subnet)) => {
                if range.prefix < subnet.prefix {
                    errors.push(format!(
                        "invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"
                    ));
                }
                if !range.is_network() {
                    errors.push(format!(
                        "invalid ip-range {text}: it should be {}",
                        range.network()
                    ));
                }
                if !subnet.overlaps(range) {
                    errors.push(format!(
                        "invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"
                    ));
                }
                checked.range = Some(range);
            }
            (Ok(_), None) => errors.push(format!(
                "invalid ip-range {text}: no subnet is given that could contain it"
            )),
        }
    }
    if let Some(text) = given(&request.gateway) {
        match address(&text) {
            Ok(gateway) => checked.gateway = Some(gateway),
            Err(why) => errors.push(format!("invalid gateway {text}: {why}")),
        }
    }
    for (name, text) in &request.auxiliary {
        match address(text) {
            Ok(aux) => drop(checked.auxiliary.insert(name.clone(), aux)),
            Err(why) => errors.push(format!("invalid auxiliary address {name}: {why}")),
        }
    }
    checked
}

impl CheckedRequest {
    /// Whether it is about IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.subnet.is_some_and(Cidr::is_ipv6)
    }

    /// Makes the pool; `taken` are the subnets of other networks, `avoid` those that the machine itself reaches.
    ///
    /// # Errors
    /// Docker's texts when the subnet overlaps with another one, or none is left.
    pub fn reserve(&self, taken: &[Cidr], avoid: &[Cidr]) -> Result<Pool> {
        let free = |subnet: &Cidr| !taken.iter().any(|other| other.overlaps(*subnet));
        let subnet = match self.subnet {
            Some(subnet) if !free(&subnet) => {
                return Err(Error::Forbidden(
                    "invalid pool request: Pool overlaps with other one on this address space"
                        .into(),
                ));
            }
            Some(subnet) => subnet,
            None => default_pools()
                .find(|subnet| free(subnet) && !avoid.iter().any(|other| other.overlaps(*subnet)))
                .ok_or_else(|| {
                    Error::Invalid("all predefined address pools have been fully subnetted".into())
                })?,
        };
        let mut pool = Pool {
            subnet,
            range: self.range,
            gateway: subnet.address,
            auxiliary: self.auxiliary.clone(),
            configured: self.subnet.is_some(),
        };
        pool.gateway = match self.gateway {
            Some(gateway) => gateway,
            // Docker: the first address of the range.
            None => pool
                .free(&self.auxiliary.values().copied().collect())
                .ok_or_else(|| Error::Unavailable("no available addresses on this pool".into()))?,
        };
        if pool.auxiliary.values().any(|aux| *aux == pool.gateway) {
            return Err(Error::Forbidden(format!(
                "failed to allocate gateway ({}): Address already in use",
                pool.gateway
            )));
        }
        Ok(pool)
    }
}

impl Pool {
    /// The lowest address that nobody has.
    pub fn allocate(&self, used: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let mut all: BTreeSet<IpAddr> = self.auxiliary.values().copied().collect();
        all.insert(self.gateway);
        all.extend(
            used.iter()
                .copied()
                .filter(|address| self.subnet.contains(*address)),
        );
        self.free(&all)
    }

    /// Whether the client may have just this address.
    ///
    /// # Errors
    /// Docker's text when someone has it.
    pub fn claim(&self, address: IpAddr, used: &BTreeSet<IpAddr>) -> Result<()> {
        let is_taken = used.contains(&address)
            || address == self.gateway
            || self.auxiliary.values().any(|aux| *aux == address);
        if is_taken {
            return Err(Error::Forbidden("Address already in use".into()));
        }
        if self.is_reserved(address) {
            return Err(Error::Invalid("requested address is out of range".into()));
        }
        Ok(())
    }

    fn free(&self, used: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let range = self.range.unwrap_or(self.subnet);
        range
            .addresses()
            .find(|address| !self.is_reserved(*address) && !used.contains(address))
    }

    /// The network's own address and IPv4's broadcast address are nobody's, but in networks of one or two addresses (RFC 3021).
    fn is_reserved(&self, address: IpAddr) -> bool {
        let width = if self.subnet.is_ipv6() { 128 } else { 32 };
        if self.subnet.prefix + 1 >= width {
            return false;
        }
        address == self.subnet.address || !self.subnet.is_ipv6() && address == self.subnet.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(subnet: &str, range: &str, gateway: &str, aux: &[(&str, &str)]) -> PoolRequest {
        PoolRequest {
            subnet: Some(subnet.into()),
            range: Some(range.into()),
            gateway: Some(gateway.into()),
            auxiliary: aux
                .iter()
                .map(|(name, text)| (name.to_string(), text.to_string()))
                .collect(),
        }
    }

    fn pool(subnet: &str, range: &str, gateway: &str, aux: &[(&str, &str)]) -> Pool {
        check(&[request(subnet, range, gateway, aux)]).unwrap()[0]
            .reserve(&[], &[])
            .unwrap()
    }

    #[test]
    fn default_pools_are_dockers() {
        let pools: Vec<_> = default_pools().map(|pool| pool.to_string()).collect();
        assert_eq!(pools.len(), 31);
        assert_eq!(
            (pools[0].as_str(), pools[14].as_str()),
            ("172.17.0.0/16", "172.31.0.0/16")
        );
        assert_eq!(
            (pools[15].as_str(), pools[30].as_str()),
            ("192.168.0.0/20", "192.168.240.0/20")
        );
    }

    #[test]
    fn a_pool_avoids_what_others_have() {
        let cidrs = |list: &[&str]| {
            list.iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<Cidr>>()
        };
        let any = CheckedRequest::default();
        for (taken, avoid, expected) in [
            (&[][..], &[][..], Ok("172.17.0.0/16")),
            (&["172.17.0.0/16"], &[], Ok("172.18.0.0/16")),
            (
                &["172.17.0.0/16"],
                &["172.18.5.0/24", "0.0.0.0/32"],
                Ok("172.19.0.0/16"),
            ),
            (&["172.16.0.0/12"], &[], Ok("192.168.0.0/20")),
            (
                &["172.16.0.0/12", "192.168.0.0/16"],
                &[],
                Err("all predefined address pools have been fully subnetted"),
            ),
        ] {
            let found = any.reserve(&cidrs(taken), &cidrs(avoid));
            let found = found
                .map(|pool| pool.subnet.to_string())
                .map_err(|error| error.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned));
        }
        let asked = &check(&[request("172.17.5.0/24", "", "", &[])]).unwrap()[0];
        assert_eq!(
            asked
                .reserve(&cidrs(&["172.17.0.0/16"]), &[])
                .unwrap_err()
                .to_string(),
            "invalid pool request: Pool overlaps with other one on this address space"
        );
        // The machine's own networks are the client's business when it names a subnet.
        asked.reserve(&[], &cidrs(&["172.17.0.0/16"])).unwrap();
    }

    #[test]
    fn requests_that_make_no_sense_get_dockers_texts() {
        for (subnet, range, gateway, aux, expected) in [
            (
                "x",
                "",
                "",
                &[][..],
                "invalid subnet x: invalid CIDR block notation",
            ),
            (
                "10.0.0.5/24",
                "",
                "",
                &[],
                "invalid subnet 10.0.0.5/24: it should be 10.0.0.0/24",
            ),
            (
                "10.0.0.0/24",
                "fd00::/64",
                "",
                &[],
                "invalid ip-range fd00::/64: parent subnet is an IPv4 block",
            ),
            (
                "10.0.0.0/24",
                "10.0.0.0/16",
                "",
                &[],
                "invalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24",
            ),
            (
                "10.0.0.0/24",
                "10.0.1.0/25",
                "",
                &[],
                "invalid ip-range 10.0.1.0/25: parent subnet 10.0.0.0/24 doesn't contain ip-range",
            ),
            (
                "10.0.0.0/24",
                "",
                "10.0.1.1",
                &[],
                "invalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address",
            ),
            (
                "10.0.0.0/24",
                "",
                "fd00::1",
                &[],
                "invalid gateway fd00::1: parent subnet is an IPv4 block",
            ),
            (
                "10.0.0.0/24",
                "",
                "10.0.1.1",
                &[("dns", "1.1.1.1")],
                "* invalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address\n\
                 * invalid auxiliary address dns: parent subnet 10.0.0.0/24 doesn't contain this address",
            ),
        ] {
            let error = check(&[request(subnet, range, gateway, aux)]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("invalid network config:\n{expected}")
            );
        }
    }

    #[test]
    fn addresses_are_the_lowest_free_ones() {
        let used = |list: &[&str]| {
            list.iter()
                .map(|text| text.parse().unwrap())
                .collect::<BTreeSet<IpAddr>>()
        };
        for (pool, taken, expected) in [
            (pool("10.0.0.0/24", "", "", &[]), &[][..], Some("10.0.0.2")),
            (
                pool("10.0.0.0/24", "", "", &[]),
                &["10.0.0.2", "10.0.0.4"],
                Some("10.0.0.3"),
            ),
            (
                pool("10.0.0.0/24", "", "10.0.0.9", &[]),
                &[],
                Some("10.0.0.1"),
            ),
            (
                pool("10.0.0.0/24", "10.0.0.128/25", "", &[]),
                &[],
                Some("10.0.0.129"),
            ),
            (
                pool("10.0.0.0/24", "10.0.0.128/25", "10.0.0.1", &[]),
                &[],
                Some("10.0.0.128"),
            ),
            (pool("10.0.0.0/30", "", "", &[]), &["10.0.0.2"], None),
            (pool("10.0.0.0/31", "", "", &[]), &[], Some("10.0.0.1")),
            (
                pool("10.0.0.0/24", "", "", &[("dns", "10.0.0.2")]),
                &[],
                Some("10.0.0.3"),
            ),
            (
                pool("10.0.0.0/24", "", "", &[("dns", "10.0.0.1")]),
                &[],
                Some("10.0.0.3"),
            ),
            (
                pool("fd00::/64", "", "", &[]),
                &["fd00::2"],
                Some("fd00::3"),
            ),
        ] {
            let found = pool
                .allocate(&used(taken))
                .map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{pool:?}");
        }
    }

    #[test]
    fn chosen_addresses_must_be_free() {
        let pool = pool("10.0.0.0/24", "10.0.0.128/25", "", &[("dns", "10.0.0.5")]);
        let used = [IpAddr::from([10, 0, 0, 7])].into();
        for (address, expected) in [
            ("10.0.0.6", None),
            ("10.0.0.7", Some("Address already in use")),
            ("10.0.0.128", Some("Address already in use")),
            ("10.0.0.5", Some("Address already in use")),
            ("10.0.0.255", Some("requested address is out of range")),
        ] {
            let result = pool
                .claim(address.parse().unwrap(), &used)
                .map_err(|error| error.to_string());
            assert_eq!(result.err().as_deref(), expected, "{address}");
        }
    }
}
