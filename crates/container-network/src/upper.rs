//! Networks whose interfaces sit on one of the machine's: macvlan and ipvlan (Docker: options of these drivers).

use crate::error::{Error, Result};
use crate::network::{Driver, Network, is_device_name};

/// How interfaces of a network sit on one of the machine's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upper {
    /// `parent`: name of the machine's interface. Without it, that of a dummy that leads nowhere.
    pub parent: String,
    /// How the parent is made when it is not there.
    pub making: Making,
    /// What they do with each other's packets.
    pub kind: UpperKind,
}

/// Kinds of such interfaces (kernel: `macvlan`, `ipvlan`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UpperKind {
    /// `macvlan_mode`: `bridge`, the default.
    MacvlanBridge,
    /// `private`.
    MacvlanPrivate,
    /// `vepa`.
    MacvlanVepa,
    /// `passthru`.
    MacvlanPassthrough,
    /// Of `ipvlan`.
    Ipvlan(IpvlanMode, IpvlanFlag),
}

/// Which layer's addresses decide where a packet goes (kernel: `Documentation/networking/ipvlan.rst`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpvlanMode {
    /// `ipvlan_mode`: `l2`, the default.
    L2,
    /// `l3`: the machine's routes lead, and there is neither broadcast nor multicast.
    L3,
    /// `l3s`: the same by way of the machine's connection tracking.
    L3s,
}

/// Who reaches whom (the same document).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpvlanFlag {
    /// `ipvlan_flag`: `bridge`, the default: everybody.
    Bridge,
    /// `private`: nobody of the same parent.
    Private,
    /// `vepa`: by a switch outside.
    Vepa,
}

/// How a parent is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Making {
    /// An interface that leads nowhere.
    Dummy,
    /// `eth0.10`: what has the tag 10 on `eth0`; anything else is an error when it is needed.
    Vlan,
}

impl Upper {
    /// Reads the options of a network. `None` when it is of another driver.
    ///
    /// # Errors
    /// Docker's texts for modes and parents that are none.
    pub fn parse(network: &Network) -> Result<Option<Self>> {
        let option = |name: &str| network.options.get(name).map_or("", String::as_str);
        let invalid = |what: &str, value: &str, default: &str| {
            let driver = network.driver.name();
            Err(Error::Invalid(format!(
                "requested {driver} {what} '{value}' is not valid, {default} is the {driver} driver default"
            )))
        };
        let kind = match network.driver {
            Driver::Macvlan => match option("macvlan_mode") {
                "" | "bridge" => UpperKind::MacvlanBridge,
                "private" => UpperKind::MacvlanPrivate,
                "vepa" => UpperKind::MacvlanVepa,
                "passthru" => UpperKind::MacvlanPassthrough,
                mode => return invalid("mode", mode, "'bridge' mode"),
            },
            Driver::Ipvlan => {
                let mode = match option("ipvlan_mode") {
                    "" | "l2" => IpvlanMode::L2,
                    "l3" => IpvlanMode::L3,
                    "l3s" => IpvlanMode::L3s,
                    mode => return invalid("mode", mode, "'l2' mode"),
                };
                let flag = match option("ipvlan_flag") {
                    "" | "bridge" => IpvlanFlag::Bridge,
                    "private" => IpvlanFlag::Private,
                    "vepa" => IpvlanFlag::Vepa,
                    flag => return invalid("flag", flag, "'bridge'"),
                };
                UpperKind::Ipvlan(mode, flag)
            }
            Driver::Bridge | Driver::Host | Driver::Null => return Ok(None),
        };
        let driver = network.driver.name();
        let (parent, making) = match option("parent") {
            "" => {
                let id = network.id.get(..12).unwrap_or(&network.id);
                (format!("d{}-{id}", &driver[..1]), Making::Dummy)
            }
            "lo" => {
                return Err(Error::Invalid(format!(
                    "loopback interface is not a valid {driver} parent link"
                )));
            }
            parent if !is_device_name(parent) => {
                return Err(Error::Invalid(format!(
                    "invalid subinterface vlan name {parent}, example formatting is eth0.10"
                )));
            }
            parent => (parent.to_owned(), Making::Vlan),
        };
        Ok(Some(Self {
            parent,
            making,
            kind,
        }))
    }

    /// Whether its containers reach everything by their interface, without a gateway.
    pub fn is_routed(&self) -> bool {
        matches!(
            self.kind,
            UpperKind::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _)
        )
    }

    /// The interface and the tag that the parent is made of when it is not there.
    ///
    /// # Errors
    /// Docker's texts when its name does not say that.
    pub fn vlan(&self) -> Result<(&str, u16)> {
        let parent = &self.parent;
        let invalid = |text: String| Err(Error::Invalid(text));
        if !parent.contains('.') {
            return invalid(format!(
                "invalid subinterface vlan name {parent}, example formatting is eth0.10"
            ));
        }
        let parts: Vec<&str> = parent.split('.').collect();
        let &[below, tag] = parts.as_slice() else {
            return invalid(format!(
                "required interface name format is: name.vlan_tag, ex. eth0.10 for vlan 10, instead received {parent}"
            ));
        };
        match tag.parse::<i64>() {
            Err(_) => invalid(format!(
                "unable to parse a valid vlan id from: {parent} (ex. eth0.10 for vlan 10)"
            )),
            Ok(tag) => match u16::try_from(tag)
                .ok()
                .filter(|tag| (1..=4094).contains(tag))
            {
                Some(tag) => Ok((below, tag)),
                None => invalid(format!("vlan id must be between 1-4094, received: {tag}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(driver: Driver, options: &[(&str, &str)]) -> Network {
        let mut network =
            Network::new("0123456789abcdef".into(), "n".into(), String::new(), driver);
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        network.options = options.iter().map(text).collect();
        network
    }

    #[test]
    fn options_are_dockers() {
        use Driver::{Bridge, Ipvlan, Macvlan};
        let parent = ("parent", "eth0");
        let ipvlan = |mode, flag| Ok(Some(("eth0", UpperKind::Ipvlan(mode, flag))));
        for (driver, options, expected) in [
            (Bridge, &[parent][..], Ok(None)),
            (
                Macvlan,
                &[parent],
                Ok(Some(("eth0", UpperKind::MacvlanBridge))),
            ),
            (
                Macvlan,
                &[parent, ("macvlan_mode", "vepa")],
                Ok(Some(("eth0", UpperKind::MacvlanVepa))),
            ),
            (
                Macvlan,
                &[],
                Ok(Some(("dm-0123456789ab", UpperKind::MacvlanBridge))),
            ),
            (
                Ipvlan,
                &[parent],
                ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge),
            ),
            (
                Ipvlan,
                &[parent, ("ipvlan_mode", "l3"), ("ipvlan_flag", "private")],
                ipvlan(IpvlanMode::L3, IpvlanFlag::Private),
            ),
            (
                Ipvlan,
                &[parent, ("ipvlan_mode", "l3s")],
                ipvlan(IpvlanMode::L3s, IpvlanFlag::Bridge),
            ),
            (
                Macvlan,
                &[parent, ("macvlan_mode", "x")],
                Err(
                    "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default",
                ),
            ),
            (
                Ipvlan,
                &[parent, ("ipvlan_mode", "l4")],
                Err(
                    "requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default",
                ),
            ),
            (
                Ipvlan,
                &[parent, ("ipvlan_flag", "x")],
                Err(
                    "requested ipvlan flag 'x' is not valid, 'bridge' is the ipvlan driver default",
                ),
            ),
            (
                Ipvlan,
                &[("parent", "lo")],
                Err("loopback interface is not a valid ipvlan parent link"),
            ),
        ] {
            let upper = Upper::parse(&network(driver, options)).map_err(|error| error.to_string());
            let found = upper.map(|upper| upper.map(|upper| (upper.parent, upper.kind)));
            let expected = expected
                .map(|upper| upper.map(|(parent, kind)| (parent.to_owned(), kind)))
                .map_err(str::to_owned);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn names_of_parents_say_how_they_are_made() {
        for (parent, expected) in [
            ("eth0.10", Ok(("eth0", 10))),
            ("eth0.4094", Ok(("eth0", 4094))),
            (
                "eth0",
                Err("invalid subinterface vlan name eth0, example formatting is eth0.10"),
            ),
            (
                "eth0.1.2",
                Err(
                    "required interface name format is: name.vlan_tag, ex. eth0.10 for vlan 10, instead received eth0.1.2",
                ),
            ),
            (
                "eth0.x",
                Err("unable to parse a valid vlan id from: eth0.x (ex. eth0.10 for vlan 10)"),
            ),
            (
                "eth0.4095",
                Err("vlan id must be between 1-4094, received: 4095"),
            ),
            ("eth0.0", Err("vlan id must be between 1-4094, received: 0")),
        ] {
            let network = network(Driver::Macvlan, &[("parent", parent)]);
            let upper = Upper::parse(&network).unwrap().unwrap();
            let vlan = upper.vlan().map_err(|error| error.to_string());
            assert_eq!(vlan, expected.map_err(str::to_owned));
        }
    }
}
