//! From networks and published ports to the rules that make them so.
//!
//! Published ports are rules, also for the machine itself at 127.0.0.1: `route_localnet` on the bridge lets such a packet leave, and its
//! source is masqueraded. A proxy in the engine would have cost PID 1 a copy of every byte and an open socket of every connection, and
//! would have hidden where connections come from. What `route_localnet` opens (a container could send to the machine's 127.0.0.0/8) is
//! closed by the first rule. The one thing that a proxy could do and this cannot: IPv6's `::1` does not lead to a published port.

use std::net::IpAddr;

use crate::cidr::Cidr;
use crate::endpoint::Endpoint;
use crate::network::Bridge;
use crate::nftables::{Chain, Expression, Hook, Rule, Table};

/// The name of our table.
pub const TABLE: &str = "coracle";

/// The table for bridges that exist, with the endpoints on them.
pub fn table<'a>(bridges: &[Bridge], endpoints: impl Iterator<Item = &'a Endpoint>) -> Table {
    let chain = |name, hook, rules| Chain { name, hook, rules };
    let to_ports = || vec![vec![Expression::Local, Expression::Jump("ports")]];
    Table {
        name: TABLE,
        chains: vec![
            chain("ports", None, endpoints.flat_map(ports).collect()),
            chain(
                "raw",
                Some(Hook::RawPrerouting),
                bridges.iter().map(guard_loopback).collect(),
            ),
            chain("prerouting", Some(Hook::NatPrerouting), to_ports()),
            chain("output", Some(Hook::NatOutput), to_ports()),
            chain(
                "postrouting",
                Some(Hook::NatPostrouting),
                bridges.iter().flat_map(sources).collect(),
            ),
            chain(
                "forward",
                Some(Hook::Forward),
                bridges.iter().flat_map(passage).collect(),
            ),
        ],
    }
}

fn host(address: IpAddr) -> Cidr {
    Cidr {
        address,
        prefix: if address.is_ipv6() { 128 } else { 32 },
    }
}

/// Each published port leads to its container.
fn ports(endpoint: &Endpoint) -> Vec<Rule> {
    let rule = |port: &crate::Published| {
        let target = endpoint.address(port.host_ip.is_ipv6())?.address;
        let mut rule = vec![if port.host_ip.is_unspecified() {
            // The other family has a line of its own, or is not published.
            Expression::Family(port.host_ip.is_ipv6())
        } else {
            Expression::Destination(host(port.host_ip))
        }];
        rule.push(Expression::Port(port.container.protocol, port.host_port));
        rule.push(Expression::Dnat(target, port.container.port));
        Some(rule)
    };
    endpoint.ports.iter().filter_map(rule).collect()
}

/// A container must not reach what listens on the machine's 127.0.0.1. Answers to masqueraded connections go to the bridge's address.
fn guard_loopback(bridge: &Bridge) -> Rule {
    let loopback = Cidr {
        address: [127, 0, 0, 0].into(),
        prefix: 8,
    };
    vec![
        Expression::From(bridge.device.clone()),
        Expression::Destination(loopback),
        Expression::Drop,
    ]
}

/// Whose address packets have when they leave.
fn sources(bridge: &Bridge) -> Vec<Rule> {
    let device = || bridge.device.clone();
    let mut rules = Vec::new();
    for subnet in bridge.subnets() {
        if bridge.masquerade && !bridge.internal {
            rules.push(vec![
                Expression::Source(subnet),
                Expression::NotTo(device()),
                Expression::Masquerade,
            ]);
        }
        // Through a published port to a neighbour or to itself: the answer must come back the same way.
        rules.push(vec![
            Expression::Source(subnet),
            Expression::To(device()),
            Expression::WasDnat,
            Expression::Masquerade,
        ]);
    }
    rules.push(vec![
        Expression::Source(Cidr {
            address: [127, 0, 0, 0].into(),
            prefix: 8,
        }),
        Expression::To(device()),
        Expression::Masquerade,
    ]);
    rules
}

/// What may go into and out of a network.
fn passage(bridge: &Bridge) -> Vec<Rule> {
    let device = || bridge.device.clone();
    let into = |conditions: Vec<Expression>| {
        let mut rule = vec![Expression::To(device())];
        rule.extend(conditions);
        rule
    };
    if bridge.internal {
        return vec![
            into(vec![Expression::NotFrom(device()), Expression::Drop]),
            vec![
                Expression::From(device()),
                Expression::NotTo(device()),
                Expression::Drop,
            ],
        ];
    }
    vec![
        into(vec![Expression::Established, Expression::Accept]),
        into(vec![Expression::WasDnat, Expression::Accept]),
        into(vec![Expression::NotFrom(device()), Expression::Drop]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::tests::endpoint;
    use crate::network::tests::network;
    use crate::ports::Published;

    #[test]
    fn networks_become_one_table() {
        let named = |name| [("com.docker.network.bridge.name", name)];
        let mut both = network(&["10.0.0.0/24", "fd00::/64"], &named("both"));
        both.enable_ipv6 = true;
        let mut internal = network(&["10.1.0.0/24"], &named("inner"));
        internal.internal = true;
        let mut options = named("plain").to_vec();
        options.push(("com.docker.network.bridge.enable_ip_masquerade", "false"));
        let plain = network(&["10.2.0.0/24"], &options);
        let bridges: Vec<Bridge> = [both, internal, plain]
            .iter()
            .filter_map(|net| net.bridge())
            .collect();

        let published = |container: &str, ip: &str, port| Published {
            container: container.parse().unwrap(),
            host_ip: ip.parse().unwrap(),
            host_port: port,
        };
        let mut web = endpoint("a", "10.0.0.2/24", "10.0.0.1");
        web.addresses.push("fd00::2/64".parse().unwrap());
        web.ports = vec![
            published("80/tcp", "0.0.0.0", 8080),
            published("80/tcp", "::", 8080),
            published("53/udp", "127.0.0.1", 5353),
        ];
        let mut only_v4 = endpoint("b", "10.2.0.2/24", "10.2.0.1");
        only_v4.ports = vec![published("80/tcp", "::", 8081)];

        let text = table(&bridges, [&web, &only_v4].into_iter()).to_string();
        let expected = "table inet coracle {
\tchain ports {
\t\tmeta nfproto ipv4 tcp dport 8080 dnat ip to 10.0.0.2:80
\t\tmeta nfproto ipv6 tcp dport 8080 dnat ip6 to [fd00::2]:80
\t\tip daddr 127.0.0.1 udp dport 5353 dnat ip to 10.0.0.2:53
\t}

\tchain raw {
\t\ttype filter hook prerouting priority raw - 1; policy accept;
\t\tiifname \"both\" ip daddr 127.0.0.0/8 drop
\t\tiifname \"inner\" ip daddr 127.0.0.0/8 drop
\t\tiifname \"plain\" ip daddr 127.0.0.0/8 drop
\t}

\tchain prerouting {
\t\ttype nat hook prerouting priority dstnat - 1; policy accept;
\t\tfib daddr type local jump ports
\t}

\tchain output {
\t\ttype nat hook output priority -101; policy accept;
\t\tfib daddr type local jump ports
\t}

\tchain postrouting {
\t\ttype nat hook postrouting priority srcnat - 1; policy accept;
\t\tip saddr 10.0.0.0/24 oifname != \"both\" masquerade
\t\tip saddr 10.0.0.0/24 oifname \"both\" ct status dnat masquerade
\t\tip6 saddr fd00::/64 oifname != \"both\" masquerade
\t\tip6 saddr fd00::/64 oifname \"both\" ct status dnat masquerade
\t\tip saddr 127.0.0.0/8 oifname \"both\" masquerade
\t\tip saddr 10.1.0.0/24 oifname \"inner\" ct status dnat masquerade
\t\tip saddr 127.0.0.0/8 oifname \"inner\" masquerade
\t\tip saddr 10.2.0.0/24 oifname \"plain\" ct status dnat masquerade
\t\tip saddr 127.0.0.0/8 oifname \"plain\" masquerade
\t}

\tchain forward {
\t\ttype filter hook forward priority filter - 1; policy accept;
\t\toifname \"both\" ct state established,related accept
\t\toifname \"both\" ct status dnat accept
\t\toifname \"both\" iifname != \"both\" drop
\t\toifname \"inner\" iifname != \"inner\" drop
\t\tiifname \"inner\" oifname != \"inner\" drop
\t\toifname \"plain\" ct state established,related accept
\t\toifname \"plain\" ct status dnat accept
\t\toifname \"plain\" iifname != \"plain\" drop
\t}
}
";
        assert_eq!(text, expected, "{text}");
    }

    #[test]
    fn the_kernel_takes_the_table() {
        let bridges = [network(&["10.0.0.0/24", "fd00::/64"], &[])
            .bridge()
            .unwrap()];
        crate::namespace::tests::in_new_namespace(|| {
            table(&bridges, std::iter::empty()).install().unwrap()
        });
    }
}
