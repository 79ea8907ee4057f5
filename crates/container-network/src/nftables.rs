//! Tables of rules for packets, and their way into the kernel.
//!
//! The image has no `nft` program: it and its libraries are larger than all of this, and starting it costs more than a container's other
//! steps. What is needed is few kinds of rules in one table, always replaced whole: [`Table`] holds them, and prints as `nft list table`
//! does, which is how it is tested; [`Table::install`] sends them as one transaction of nfnetlink messages (kernel:
//! `include/uapi/linux/netfilter/nf_tables.h`).

mod expression;
mod message;
mod socket;

use std::fmt;
use std::net::IpAddr;

use crate::cidr::Cidr;
use crate::error::Result;
use crate::ports::Protocol;

/// A table of family `inet`, which sees both IPv4 and IPv6.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Table {
    /// Its name; the table belongs to whoever installs it, whole.
    pub name: &'static str,
    /// Its chains, in such an order that a jump goes to an earlier one.
    pub chains: Vec<Chain>,
}

/// A list of rules.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// Where packets enter it; absent in chains that are jumped to.
    pub hook: Option<Hook>,
    /// Its rules. What none of them decides goes on.
    pub rules: Vec<Rule>,
}

/// Conditions, which must all hold, and what then happens.
pub type Rule = Vec<Expression>;

/// Where a chain is in the way of packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hook {
    /// Of all that comes in, before connections are known.
    RawPrerouting,
    /// Destinations of what comes in.
    NatPrerouting,
    /// Destinations of what the machine itself sends.
    NatOutput,
    /// Sources of what goes out.
    NatPostrouting,
    /// What passes through.
    Forward,
}

impl Hook {
    /// Kind of the chain, name of the hook, its number, the priority, and how `nft` shows that.
    ///
    /// One step before the priorities of iptables: where both have a rule for the same packet, ours was asked for by System Docker.
    fn parts(self) -> (&'static str, &'static str, u32, i32, &'static str) {
        match self {
            Self::RawPrerouting => ("filter", "prerouting", 0, -301, "raw - 1"),
            Self::NatPrerouting => ("nat", "prerouting", 0, -101, "dstnat - 1"),
            Self::NatOutput => ("nat", "output", 3, -101, "-101"),
            Self::NatPostrouting => ("nat", "postrouting", 4, 99, "srcnat - 1"),
            Self::Forward => ("filter", "forward", 2, -1, "filter - 1"),
        }
    }
}

/// One condition or action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expression {
    /// It came in here.
    From(String),
    /// It did not come in here.
    NotFrom(String),
    /// It goes out here.
    To(String),
    /// It does not go out here.
    NotTo(String),
    /// It is of IPv6, or (`false`) of IPv4.
    Family(bool),
    /// Its source is in this network.
    Source(Cidr),
    /// Its destination is in this network.
    Destination(Cidr),
    /// It goes to this port.
    Port(Protocol, u16),
    /// Its destination is an address of this machine.
    Local,
    /// It belongs to a connection that was let through.
    Established,
    /// Its connection's destination was changed.
    WasDnat,
    /// It goes on with this chain, then behind this rule.
    Jump(&'static str),
    /// Nothing more of this chain.
    Accept,
    /// Nobody gets it.
    Drop,
    /// It gets the source address of the interface that it leaves by.
    Masquerade,
    /// It goes here instead.
    Dnat(IpAddr, u16),
}

impl Table {
    /// Puts the table into the network namespace of the calling thread, in place of what it was before.
    ///
    /// # Errors
    /// When the kernel has no nftables, or refuses; the table then is what it was before.
    pub fn install(&self) -> Result<()> {
        socket::transact(&message::replace(self), || {
            format!("install firewall table {}", self.name)
        })
    }

    /// Removes the table `name` from the network namespace of the calling thread, if it is there.
    ///
    /// # Errors
    /// As [`Table::install`].
    pub fn remove(name: &'static str) -> Result<()> {
        socket::transact(&message::remove(name), || {
            format!("remove firewall table {name}")
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {} {{", self.name)?;
        for (index, chain) in self.chains.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "\tchain {} {{", chain.name)?;
            if let Some(hook) = chain.hook {
                let (kind, hook, _, _, priority) = hook.parts();
                writeln!(
                    f,
                    "\t\ttype {kind} hook {hook} priority {priority}; policy accept;"
                )?;
            }
            for rule in &chain.rules {
                let words: Vec<String> = rule.iter().map(ToString::to_string).collect();
                writeln!(f, "\t\t{}", words.join(" "))?;
            }
            writeln!(f, "\t}}")?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = |is_ipv6: bool| if is_ipv6 { "ip6" } else { "ip" };
        let network = |cidr: &Cidr| match (cidr.is_ipv6(), cidr.prefix) {
            (false, 32) | (true, 128) => cidr.address.to_string(),
            _ => cidr.to_string(),
        };
        match self {
            Self::From(name) => write!(f, "iifname \"{name}\""),
            Self::NotFrom(name) => write!(f, "iifname != \"{name}\""),
            Self::To(name) => write!(f, "oifname \"{name}\""),
            Self::NotTo(name) => write!(f, "oifname != \"{name}\""),
            Self::Family(is_ipv6) => {
                write!(f, "meta nfproto {}", if *is_ipv6 { "ipv6" } else { "ipv4" })
            }
            Self::Source(cidr) => write!(f, "{} saddr {}", family(cidr.is_ipv6()), network(cidr)),
            Self::Destination(cidr) => {
                write!(f, "{} daddr {}", family(cidr.is_ipv6()), network(cidr))
            }
            Self::Port(protocol, port) => write!(f, "{protocol} dport {port}"),
            Self::Local => f.write_str("fib daddr type local"),
            Self::Established => f.write_str("ct state established,related"),
            Self::WasDnat => f.write_str("ct status dnat"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Masquerade => f.write_str("masquerade"),
            Self::Dnat(address, port) => {
                let target = std::net::SocketAddr::new(*address, *port);
                write!(f, "dnat {} to {target}", family(address.is_ipv6()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::namespace::tests::in_new_namespace;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    /// Every hook and every expression.
    fn example() -> Table {
        use Expression::*;
        let chain = |name, hook, rules| Chain { name, hook, rules };
        Table {
            name: "coracle-test",
            chains: vec![
                chain(
                    "ports",
                    None,
                    vec![
                        vec![Family(false), Port(Protocol::Tcp, 8080), Accept],
                        vec![Family(true), Port(Protocol::Tcp, 8080), Accept],
                        vec![Port(Protocol::Tcp, 8080), Dnat([10, 0, 0, 2].into(), 80)],
                        vec![
                            Destination(cidr("127.0.0.1/32")),
                            Port(Protocol::Udp, 53),
                            Dnat("fd00::2".parse().unwrap(), 53),
                        ],
                        vec![Port(Protocol::Sctp, 9), Dnat([10, 0, 0, 2].into(), 9)],
                    ],
                ),
                chain(
                    "raw",
                    Some(Hook::RawPrerouting),
                    vec![vec![
                        From("br0".into()),
                        Destination(cidr("127.0.0.0/8")),
                        Drop,
                    ]],
                ),
                chain(
                    "prerouting",
                    Some(Hook::NatPrerouting),
                    vec![vec![Local, Jump("ports")]],
                ),
                chain(
                    "output",
                    Some(Hook::NatOutput),
                    vec![vec![Local, Jump("ports")]],
                ),
                chain(
                    "postrouting",
                    Some(Hook::NatPostrouting),
                    vec![
                        vec![Source(cidr("10.0.0.0/20")), NotTo("br0".into()), Masquerade],
                        vec![Source(cidr("fd00::/61")), NotTo("br0".into()), Masquerade],
                        vec![
                            Source(cidr("10.0.0.2/32")),
                            Destination(cidr("fd00::5/128")),
                            Accept,
                        ],
                    ],
                ),
                chain(
                    "forward",
                    Some(Hook::Forward),
                    vec![
                        vec![To("br0".into()), Established, Accept],
                        vec![To("br0".into()), WasDnat, Accept],
                        vec![To("br0".into()), NotFrom("br0".into()), Drop],
                    ],
                ),
            ],
        }
    }

    #[test]
    fn the_kernel_has_what_was_meant() {
        let Some(()) = in_new_namespace(|| {
            let list = |what: &[&str]| {
                let output = Command::new("nft").args(["list"]).args(what).output();
                output.map(|output| String::from_utf8(output.stdout).unwrap())
            };
            if list(&["ruleset"]).is_err() {
                return eprintln!("SKIPPED: needs nft (package nftables)");
            }
            let mut table = example();
            for _ in 0..2 {
                // The second time it replaces what is there.
                table.install().unwrap();
                assert_eq!(list(&["ruleset"]).unwrap(), table.to_string());
            }
            table.chains[1].rules.clear();
            table.install().unwrap();
            assert_eq!(list(&["ruleset"]).unwrap(), table.to_string());
            let mut wrong = example();
            wrong.chains[2].rules[0][1] = Expression::Jump("nowhere");
            let error = wrong.install().unwrap_err().to_string();
            assert_eq!(
                error,
                "install firewall table coracle-test: No such file or directory (os error 2)"
            );
            assert_eq!(list(&["ruleset"]).unwrap(), table.to_string());
            Table::remove("coracle-test").unwrap();
            Table::remove("coracle-test").unwrap();
            assert_eq!(list(&["ruleset"]).unwrap(), "");
        }) else {
            return;
        };
    }

    #[test]
    fn a_thousand_rules_are_one_transaction() {
        let Some(()) = in_new_namespace(|| {
            let mut table = example();
            let rule = table.chains[0].rules[1].clone();
            table.chains[0].rules = vec![rule; 1000];
            table.install().unwrap();
        }) else {
            return;
        };
    }
}
