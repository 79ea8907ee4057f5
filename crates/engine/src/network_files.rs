//! The files that tell a container who it is on the network: `/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf`.

use std::net::IpAddr;

use bollard_stubs::models::HostConfig;

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                         ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// Docker's name server in a container.
pub const EMBEDDED: &str = "127.0.0.11";
/// Name servers of a container whose machine has only such as listen on its loopback interface (Docker).
const PUBLIC: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// Who answers a container's questions for names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resolver {
    /// Those of the machine, as they are.
    Host,
    /// Those of the machine that can be reached from another network namespace.
    Outside,
    /// The engine, which asks the machine's.
    Embedded,
}

/// `/etc/hosts`: `host` is the host's file when the container is in the host's network; `entries` are addresses with names.
pub fn hosts(host: Option<&str>, entries: &[(String, String)]) -> String {
    let mut text = host.unwrap_or(LOCALHOST).to_owned();
    append(&mut text, entries);
    text
}

/// Adds entries to `/etc/hosts`.
pub fn append(text: &mut String, entries: &[(String, String)]) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (address, names) in entries {
        text.push_str(&format!("{address}\t{names}\n"));
    }
}

/// `/etc/hosts` without the lines of these addresses.
pub fn without(text: &str, addresses: &[IpAddr]) -> String {
    let is_about = |line: &&str| {
        let address = line
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok());
        !address.is_some_and(|address| addresses.contains(&address))
    };
    text.split_inclusive('\n').filter(is_about).collect()
}

/// `/etc/resolv.conf`: the host's, with what `config` gives put in its place.
pub fn resolv_conf(host: &str, config: &HostConfig, resolver: Resolver) -> String {
    let given = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let (mut servers, search, mut options) = (
        given(&config.dns),
        given(&config.dns_search),
        given(&config.dns_options),
    );
    match resolver {
        Resolver::Embedded => {
            servers = vec![EMBEDDED.to_owned()];
            let has_ndots = |text: &str| {
                text.split_whitespace()
                    .any(|word| word.starts_with("ndots:"))
            };
            let of_host = host.lines().filter(|line| line.starts_with("options"));
            // Names of neighbours have no dots: they are asked for as they are.
            if options.is_empty() && !of_host.clone().any(has_ndots) {
                let words = of_host.flat_map(|line| line.split_whitespace().skip(1));
                options = words.map(str::to_owned).collect();
                options.push("ndots:0".to_owned());
            }
        }
        Resolver::Outside if servers.is_empty() => {
            servers = name_servers(host);
            servers.retain(|server| !is_loopback(server));
            if servers.is_empty() {
                servers = PUBLIC.map(str::to_owned).to_vec();
            }
        }
        Resolver::Outside | Resolver::Host => {}
    }
    let mut text = String::new();
    let keeps = |word: &str| match word {
        "nameserver" => servers.is_empty(),
        "search" | "domain" => search.is_empty(),
        "options" => options.is_empty(),
        _ => true,
    };
    for line in host
        .lines()
        .filter(|line| keeps(line.split_whitespace().next().unwrap_or_default()))
    {
        text.push_str(line);
        text.push('\n');
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    // A single dot asks for no search list at all.
    if !search.is_empty() && search != ["."] {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

/// The name servers of a `resolv.conf`.
pub fn name_servers(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn is_loopback(server: &str) -> bool {
    server
        .parse()
        .is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(address, names)| (address.to_string(), names.to_string()))
            .collect()
    }

    #[test]
    fn hosts_are_those_of_the_network_with_the_added_ones() {
        let extra = entries(&[("10.0.0.1", "db"), ("fd00::1", "six six6")]);
        let text = hosts(Some("1.2.3.4 host"), &extra);
        assert_eq!(text, "1.2.3.4 host\n10.0.0.1\tdb\nfd00::1\tsix six6\n");
        assert!(hosts(None, &[]).starts_with("127.0.0.1\tlocalhost\n"));
        assert_eq!(
            without(
                &text,
                &["10.0.0.1".parse().unwrap(), "FD00::1".parse().unwrap()]
            ),
            "1.2.3.4 host\n"
        );
    }

    #[test]
    fn name_servers_are_the_hosts_unless_given() {
        let host = "# made by us\nnameserver 192.0.2.1\nsearch example.org\noptions rotate";
        let given = HostConfig {
            dns: Some(vec!["9.9.9.9".into()]),
            dns_search: Some(vec![".".into()]),
            dns_options: Some(vec!["ndots:2".into()]),
            ..HostConfig::default()
        };
        let local = "nameserver 127.0.0.53\nnameserver ::1\n";
        let none = HostConfig::default();
        for (host, config, resolver, expected) in [
            (host, &none, Resolver::Host, format!("{host}\n")),
            (
                host,
                &given,
                Resolver::Host,
                "# made by us\nnameserver 9.9.9.9\noptions ndots:2\n".into(),
            ),
            (
                host,
                &none,
                Resolver::Outside,
                "# made by us\nsearch example.org\noptions rotate\nnameserver 192.0.2.1\n".into(),
            ),
            (local, &none, Resolver::Host, local.into()),
            (
                local,
                &none,
                Resolver::Outside,
                "nameserver 8.8.8.8\nnameserver 8.8.4.4\n".into(),
            ),
            (
                local,
                &given,
                Resolver::Outside,
                "nameserver 9.9.9.9\noptions ndots:2\n".into(),
            ),
            (
                host,
                &none,
                Resolver::Embedded,
                "# made by us\nsearch example.org\nnameserver 127.0.0.11\noptions rotate ndots:0\n"
                    .into(),
            ),
            (
                host,
                &given,
                Resolver::Embedded,
                "# made by us\nnameserver 127.0.0.11\noptions ndots:2\n".into(),
            ),
        ] {
            assert_eq!(resolv_conf(host, config, resolver), expected);
        }
        assert_eq!(name_servers(host), ["192.0.2.1"]);
    }
}
