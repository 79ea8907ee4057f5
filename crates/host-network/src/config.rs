//! `rancher.network` as types (inventory B.5). Reading is lenient as upstream's was (numbers and booleans may be strings);
//! what cannot be understood is listed with its key and left out, so that a slip in one interface does not take the
//! machine off the network.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::cidr::Cidr;
use crate::selector::{Mac, Selector};

/// Used when neither the configuration nor DHCP names a server (B5-003, H1-015).
const FALLBACK_NAMESERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
/// Seconds to the first DHCP answer before the interface no longer counts as pending (B5-002).
const DHCP_TIMEOUT: u64 = 10;

/// The network part of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// In the order of the file.
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

/// A configured command: one string is for `sh -c`, a list is executed as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(pub Vec<String>);

/// Something in the configuration that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl NetworkConfig {
    /// From the whole merged configuration. `rancher.defaults.network` is used where `rancher.network` says nothing
    /// (B3-040), and DHCP on `eth*` where neither names an interface (H1-001).
    pub fn from_tree(tree: &Value) -> (Self, Vec<Problem>) {
        let mut reader = Reader::default();
        let user = &tree["rancher"]["network"];
        let defaults = &tree["rancher"]["defaults"]["network"];
        let either = |key: &str| match &user[key] {
            Value::Null => &defaults[key],
            value => value,
        };
        let fallback = reader.addresses(
            "rancher.defaults.network.dns.nameservers",
            &defaults["dns"]["nameservers"],
        );
        let config = Self {
            interfaces: reader.interfaces(either("interfaces")),
            dhcp_timeout: Duration::from_secs(
                reader
                    .number("rancher.network.dhcp_timeout", either("dhcp_timeout"))
                    .unwrap_or(DHCP_TIMEOUT),
            ),
            nameservers: reader.addresses(
                "rancher.network.dns.nameservers",
                &user["dns"]["nameservers"],
            ),
            search: reader.strings("rancher.network.dns.search", &user["dns"]["search"]),
            fallback_nameservers: match fallback.is_empty() {
                true => FALLBACK_NAMESERVERS
                    .iter()
                    .filter_map(|text| text.parse().ok())
                    .collect(),
                false => fallback,
            },
            pre_cmds: reader.commands("rancher.network.pre_cmds", &user["pre_cmds"]),
            post_cmds: reader.commands("rancher.network.post_cmds", &user["post_cmds"]),
            hostname: tree["hostname"]
                .as_str()
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        };
        (config, reader.problems)
    }

    /// The entry that applies to an interface, if any: the best rank, and among equals the first in the file.
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

/// Reads values leniently and collects what it had to leave out.
#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn interfaces(&mut self, value: &Value) -> Vec<InterfaceConfig> {
        let empty = Map::new();
        let entries = match value {
            Value::Null => &empty,
            Value::Object(entries) => entries,
            _ => {
                self.problem(
                    "rancher.network.interfaces",
                    "is not a map of interface names to settings",
                );
                &empty
            }
        };
        if entries.is_empty() {
            return vec![InterfaceConfig {
                dhcp: true,
                ..InterfaceConfig::new(Selector::parse("eth*"))
            }];
        }
        entries
            .iter()
            .filter_map(|(name, value)| self.interface(name, value))
            .collect()
    }

    fn interface(&mut self, name: &str, value: &Value) -> Option<InterfaceConfig> {
        let key = format!("rancher.network.interfaces.{name}");
        if value.is_null() {
            return Some(InterfaceConfig::new(Selector::parse(name)));
        }
        if !value.is_object() {
            self.problem(&key, "is not a map of settings");
            return None;
        }
        let selector = value["match"].as_str().unwrap_or(name);
        let mut addresses = self.cidrs(&format!("{key}.addresses"), &value["addresses"]);
        for cidr in self.cidrs(&format!("{key}.address"), &value["address"]) {
            if !addresses.contains(&cidr) {
                addresses.insert(0, cidr);
            }
        }
        let mut gateways = self.addresses(&format!("{key}.gateway"), &value["gateway"]);
        gateways.extend(self.addresses(&format!("{key}.gateway_ipv6"), &value["gateway_ipv6"]));
        Some(InterfaceConfig {
            selector: Selector::parse(selector),
            dhcp: self
                .boolean(&format!("{key}.dhcp"), &value["dhcp"])
                .unwrap_or(false),
            addresses,
            gateways,
            mtu: self
                .number(&format!("{key}.mtu"), &value["mtu"])
                .and_then(|mtu| u32::try_from(mtu).ok())
                .filter(|&mtu| mtu != 0),
            pre_up: self.commands(&format!("{key}.pre_up"), &value["pre_up"]),
            post_up: self.commands(&format!("{key}.post_up"), &value["post_up"]),
        })
    }

    fn boolean(&mut self, key: &str, value: &Value) -> Option<bool> {
        match value {
            Value::Null => None,
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            other => {
                self.problem(key, format!("is {other}, not true or false"));
                None
            }
        }
    }

    fn number(&mut self, key: &str, value: &Value) -> Option<u64> {
        let number = match value {
            Value::Null => return None,
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.problem(key, format!("is {value}, not a whole number"));
        }
        number
    }

    /// A list of strings, or one string.
    fn strings(&mut self, key: &str, value: &Value) -> Vec<String> {
        match value {
            Value::Null => Vec::new(),
            Value::String(text) if text.is_empty() => Vec::new(),
            Value::String(text) => vec![text.clone()],
            Value::Array(items) => {
                let mut strings = Vec::new();
                for item in items {
                    match item.as_str() {
                        Some(text) => strings.push(text.to_owned()),
                        None => self.problem(key, format!("holds {item}, which is not a string")),
                    }
                }
                strings
            }
            other => {
                self.problem(key, format!("is {other}, not a list of strings"));
                Vec::new()
            }
        }
    }

    fn cidrs(&mut self, key: &str, value: &Value) -> Vec<Cidr> {
        let mut cidrs = Vec::new();
        for text in self.strings(key, value) {
            match text.parse() {
                Ok(cidr) => cidrs.push(cidr),
                Err(message) => self.problem(key, message),
            }
        }
        cidrs
    }

    fn addresses(&mut self, key: &str, value: &Value) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for text in self.strings(key, value) {
            match text.trim().parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.problem(key, format!("{text:?} is not an IP address")),
            }
        }
        addresses
    }

    fn commands(&mut self, key: &str, value: &Value) -> Vec<Command> {
        let mut commands = Vec::new();
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::String(line) => commands.push(Command::shell(line)),
                        Value::Array(_) => commands.push(Command(self.strings(key, item))),
                        other => {
                            self.problem(key, format!("holds {other}, which is not a command"));
                        }
                    }
                }
            }
            Value::String(line) => commands.push(Command::shell(line)),
            other => self.problem(key, format!("is {other}, not a list of commands")),
        }
        commands.retain(|command| !command.0.is_empty());
        commands
    }
}

impl InterfaceConfig {
    /// Nothing but up.
    fn new(selector: Selector) -> Self {
        Self {
            selector,
            dhcp: false,
            addresses: Vec::new(),
            gateways: Vec::new(),
            mtu: None,
            pre_up: Vec::new(),
            post_up: Vec::new(),
        }
    }
}

impl Command {
    fn shell(line: &str) -> Self {
        Self(vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn without_configuration_wired_interfaces_use_dhcp() {
        let (config, problems) = NetworkConfig::from_tree(&json!({}));
        assert_eq!(problems, []);
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
        let tree = json!({
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
        });
        let (config, problems) = NetworkConfig::from_tree(&tree);
        assert_eq!(problems, []);
        let addresses = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let cidrs = |texts: &[&str]| -> Vec<Cidr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let expected = NetworkConfig {
            interfaces: vec![
                InterfaceConfig {
                    dhcp: true,
                    ..InterfaceConfig::new(Selector::Glob("eth*".to_owned()))
                },
                InterfaceConfig {
                    addresses: cidrs(&["10.0.0.2/24", "fd00::2/64"]),
                    gateways: addresses(&["10.0.0.1", "fd00::1"]),
                    mtu: Some(1400),
                    post_up: vec![Command::shell("ip route add 10.9.0.0/16 via 10.0.0.9")],
                    ..InterfaceConfig::new(Selector::Name("eth1".to_owned()))
                },
                InterfaceConfig {
                    dhcp: true,
                    ..InterfaceConfig::new(Selector::Mac("52:54:00:*".to_owned()))
                },
            ],
            dhcp_timeout: Duration::from_secs(3),
            nameservers: addresses(&["1.1.1.1", "fd00::53"]),
            search: vec!["example.org".to_owned()],
            fallback_nameservers: addresses(&["9.9.9.9"]),
            pre_cmds: vec![Command::shell("echo a; echo b")],
            post_cmds: vec![Command(vec!["ip".to_owned(), "route".to_owned()])],
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
        let tree = json!({"rancher": {"network": {
            "dns": {"nameservers": ["one.one.one.one"]},
            "interfaces": {
                "eth0": {"address": "10.0.0.2", "dhcp": "maybe", "mtu": "big"},
                "eth1": true,
            },
        }}});
        let (config, problems) = NetworkConfig::from_tree(&tree);
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.key, problem.message))
            .collect();
        assert_eq!(
            lines,
            [
                "rancher.network.interfaces.eth0.address: \"10.0.0.2\" has no prefix length; write for instance 10.0.0.2/24",
                "rancher.network.interfaces.eth0.dhcp: is \"maybe\", not true or false",
                "rancher.network.interfaces.eth0.mtu: is \"big\", not a whole number",
                "rancher.network.interfaces.eth1: is not a map of settings",
                "rancher.network.dns.nameservers: \"one.one.one.one\" is not an IP address",
            ]
        );
        assert_eq!(
            config.interfaces,
            [InterfaceConfig::new(Selector::Name("eth0".to_owned()))]
        );
    }
}
