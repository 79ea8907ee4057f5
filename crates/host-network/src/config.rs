//! `rancher.network` with its texts understood (inventory B.5). What is no address is listed with its key and left out, so
//! that a slip in one interface does not take the machine off the network.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use coracle_config::{Command, Config, Interface};

use crate::cidr::Cidr;
use crate::selector::{Mac, Selector};

/// Used when neither the configuration nor DHCP names a server (B5-003, H1-015).
const FALLBACK_NAMESERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
/// Seconds to the first DHCP answer before the interface no longer counts as pending (B5-002).
const DHCP_TIMEOUT: u64 = 10;

/// The network part of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// In the order of their keys.
    pub interfaces: Vec<InterfaceConfig>,
    /// How long an interface without a DHCP answer keeps `ready` waiting. The client goes on trying after that.
    pub dhcp_timeout: Duration,
    /// The user's name servers; they replace those from DHCP.
    pub nameservers: Vec<IpAddr>,
    /// The user's search domains; they replace those from DHCP.
    pub search: Vec<String>,
    /// Name servers for when nobody names any.
    pub fallback_nameservers: Vec<IpAddr>,
    /// Commands before anything else.
    pub pre_cmds: Vec<Command>,
    /// Commands after the first attempt at every interface.
    pub post_cmds: Vec<Command>,
    /// The configured host name; without one DHCP's is taken (H1-007).
    pub hostname: Option<String>,
}

/// One entry of `rancher.network.interfaces`.
#[derive(Debug, Clone, PartialEq)]
pub struct InterfaceConfig {
    /// Which interfaces it is for.
    pub selector: Selector,
    /// Run a DHCPv4 client.
    pub dhcp: bool,
    /// Static addresses, IPv4 and IPv6.
    pub addresses: Vec<Cidr>,
    /// Default routes, at most one per family.
    pub gateways: Vec<IpAddr>,
    /// Bytes; wins over DHCP's.
    pub mtu: Option<u32>,
    /// Commands before the interface goes up.
    pub pre_up: Vec<Command>,
    /// Commands after it is up and has its static addresses.
    pub post_up: Vec<Command>,
}

/// Something in the configuration that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl NetworkConfig {
    /// From the machine's configuration. `rancher.defaults.network` is used where `rancher.network` says nothing
    /// (B3-040), and DHCP on `eth*` where neither names an interface (H1-001).
    pub fn new(config: &Config) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let user = &config.rancher.network;
        let defaults = &config.rancher.defaults.network;
        let named = match user.interfaces.is_empty() {
            true => &defaults.interfaces,
            false => &user.interfaces,
        };
        let mut interfaces: Vec<InterfaceConfig> = named
            .iter()
            .map(|(name, interface)| InterfaceConfig::new(name, interface, &mut problems))
            .collect();
        if interfaces.is_empty() {
            interfaces.push(wired_by_dhcp());
        }
        let mut fallback: Vec<IpAddr> = parsed(
            "rancher.defaults.network.dns.nameservers",
            &defaults.dns.nameservers,
            &mut problems,
        );
        if fallback.is_empty() {
            fallback.extend(
                FALLBACK_NAMESERVERS
                    .iter()
                    .filter_map(|text| text.parse::<IpAddr>().ok()),
            );
        }
        let timeout = user.dhcp_timeout.or(defaults.dhcp_timeout);
        let network = Self {
            interfaces,
            dhcp_timeout: Duration::from_secs(timeout.unwrap_or(DHCP_TIMEOUT)),
            nameservers: parsed(
                "rancher.network.dns.nameservers",
                &user.dns.nameservers,
                &mut problems,
            ),
            search: user.dns.search.clone(),
            fallback_nameservers: fallback,
            pre_cmds: user.pre_cmds.clone(),
            post_cmds: user.post_cmds.clone(),
            hostname: config.hostname.clone().filter(|name| !name.is_empty()),
        };
        (network, problems)
    }

    /// The entry that applies to an interface, if any: the best rank, and among equals the first.
    pub fn entry_for(
        &self,
        name: &str,
        mac: Option<&Mac>,
        virtual_link: bool,
    ) -> Option<&InterfaceConfig> {
        let mut best: Option<(u32, &InterfaceConfig)> = None;
        for entry in &self.interfaces {
            if let Some(rank) = entry.selector.rank(name, mac, virtual_link)
                && best.is_none_or(|(known, _)| rank > known)
            {
                best = Some((rank, entry));
            }
        }
        best.map(|(_, entry)| entry)
    }
}

impl InterfaceConfig {
    fn new(name: &str, interface: &Interface, problems: &mut Vec<Problem>) -> Self {
        let key = |last: &str| format!("rancher.network.interfaces.{name}.{last}");
        let unsupported = [
            ("bridge", interface.bridge.is_some()),
            ("bond", interface.bond.is_some()),
            ("bond_opts", !interface.bond_opts.is_empty()),
            ("vlans", interface.vlans.is_some()),
            ("ipv4ll", interface.ipv4ll),
        ];
        for (name, set) in unsupported {
            if set {
                problems.push(Problem {
                    key: key(name),
                    message: "is not supported by this version".to_owned(),
                });
            }
        }
        let mut addresses: Vec<Cidr> = Vec::new();
        for cidr in parsed(&key("address"), &interface.all_addresses(), problems) {
            if !addresses.contains(&cidr) {
                addresses.push(cidr);
            }
        }
        let mut gateways = parsed(&key("gateway"), interface.gateway.as_slice(), problems);
        let v6: Vec<IpAddr> = parsed(
            &key("gateway_ipv6"),
            interface.gateway_ipv6.as_slice(),
            problems,
        );
        gateways.extend(v6);
        Self {
            selector: Selector::parse(interface.matches.as_deref().unwrap_or(name)),
            dhcp: interface.dhcp,
            addresses,
            gateways,
            mtu: interface
                .mtu
                .and_then(|mtu| u32::try_from(mtu).ok())
                .filter(|&mtu| mtu != 0),
            pre_up: interface.pre_up.clone(),
            post_up: interface.post_up.clone(),
        }
    }
}

fn wired_by_dhcp() -> InterfaceConfig {
    let interface = Interface {
        dhcp: true,
        ..Interface::default()
    };
    InterfaceConfig::new("eth*", &interface, &mut Vec::new())
}

fn parsed<T: FromStr, S: AsRef<str>>(key: &str, texts: &[S], problems: &mut Vec<Problem>) -> Vec<T>
where
    T::Err: std::fmt::Display,
{
    let mut values = Vec::new();
    for text in texts {
        match text.as_ref().trim().parse() {
            Ok(value) => values.push(value),
            Err(error) => problems.push(Problem {
                key: key.to_owned(),
                message: format!("{:?}: {error}", text.as_ref()),
            }),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn network(tree: Value) -> (NetworkConfig, Vec<String>) {
        let (config, problems) = NetworkConfig::new(&serde_json::from_value(tree).unwrap());
        let lines = problems
            .iter()
            .map(|problem| format!("{} {}", problem.key, problem.message));
        (config, lines.collect())
    }

    fn entry(selector: &str) -> InterfaceConfig {
        InterfaceConfig::new(selector, &Interface::default(), &mut Vec::new())
    }

    #[test]
    fn without_configuration_wired_interfaces_use_dhcp() {
        let (config, problems) = network(json!({}));
        assert_eq!(problems, [""; 0]);
        assert_eq!(config.dhcp_timeout, Duration::from_secs(10));
        assert_eq!(
            config.fallback_nameservers,
            ["8.8.8.8", "8.8.4.4"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        assert!(config.entry_for("eth3", None, false).unwrap().dhcp);
        assert_eq!(config.entry_for("docker0", None, true), None);
        assert_eq!(config.hostname, None);
    }

    #[test]
    fn everything_is_read() {
        let (config, problems) = network(json!({
            "hostname": "ship",
            "rancher": {
                "network": {
                    "dhcp_timeout": "3",
                    "dns": {"nameservers": ["1.1.1.1", "fd00::53"], "search": ["example.org"]},
                    "pre_cmds": ["echo a; echo b"],
                    "post_cmds": [["ip", "route"]],
                    "interfaces": {
                        "eth*": {"dhcp": "true"},
                        "eth1": {
                            "address": "10.0.0.2/24",
                            "addresses": ["10.0.0.2/24", "fd00::2/64"],
                            "gateway": "10.0.0.1",
                            "gateway_ipv6": "fd00::1",
                            "mtu": 1400,
                            "post_up": ["ip route add 10.9.0.0/16 via 10.0.0.9"],
                        },
                        "second": {"match": "mac=52:54:00:*", "dhcp": true},
                    },
                },
                "defaults": {"network": {"dhcp_timeout": 10, "dns": {"nameservers": ["9.9.9.9"]}}},
            },
        }));
        assert_eq!(problems, [""; 0]);
        let addresses = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let expected = NetworkConfig {
            interfaces: vec![
                InterfaceConfig {
                    dhcp: true,
                    ..entry("eth*")
                },
                InterfaceConfig {
                    addresses: ["10.0.0.2/24", "fd00::2/64"]
                        .map(|text| text.parse().unwrap())
                        .into(),
                    gateways: addresses(&["10.0.0.1", "fd00::1"]),
                    mtu: Some(1400),
                    post_up: vec![Command::Shell(
                        "ip route add 10.9.0.0/16 via 10.0.0.9".into(),
                    )],
                    ..entry("eth1")
                },
                InterfaceConfig {
                    dhcp: true,
                    ..entry("mac=52:54:00:*")
                },
            ],
            dhcp_timeout: Duration::from_secs(3),
            nameservers: addresses(&["1.1.1.1", "fd00::53"]),
            search: vec!["example.org".to_owned()],
            fallback_nameservers: addresses(&["9.9.9.9"]),
            pre_cmds: vec![Command::Shell("echo a; echo b".into())],
            post_cmds: vec![Command::Words(vec!["ip".into(), "route".into()])],
            hostname: Some("ship".to_owned()),
        };
        assert_eq!(config, expected);
        let chosen = |name, mac| {
            let entry: &InterfaceConfig = config.entry_for(name, mac, false).unwrap();
            entry.selector.to_string()
        };
        let mac = [0x52, 0x54, 0, 1, 2, 3];
        assert_eq!(chosen("eth0", None), "eth*");
        assert_eq!(chosen("eth1", None), "eth1");
        assert_eq!(chosen("eth1", Some(&mac)), "mac=52:54:00:*");
    }

    #[test]
    fn mistakes_are_named_and_left_out() {
        let (config, problems) = network(json!({"rancher": {"network": {
            "dns": {"nameservers": ["one.one.one.one"]},
            "interfaces": {"eth0": {"address": "10.0.0.2", "gateway": "router", "vlans": "100"}},
        }}}));
        assert_eq!(
            problems,
            [
                "rancher.network.interfaces.eth0.vlans is not supported by this version",
                "rancher.network.interfaces.eth0.address \"10.0.0.2\": no prefix length; write for instance 10.0.0.2/24",
                "rancher.network.interfaces.eth0.gateway \"router\": invalid IP address syntax",
                "rancher.network.dns.nameservers \"one.one.one.one\": invalid IP address syntax",
            ]
        );
        assert_eq!(config.interfaces, [entry("eth0")]);
    }
}
