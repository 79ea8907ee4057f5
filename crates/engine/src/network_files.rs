//! The files that tell a container who it is on the network: `/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf`.

use bollard_stubs::models::HostConfig;

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                         ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// `/etc/hosts`: `host` is the host's file when the container is in the host's network; `extra` are `--add-host` entries,
/// `NAME:ADDRESS`.
pub fn hosts(host: Option<&str>, extra: &[String]) -> String {
    let mut text = host.unwrap_or(LOCALHOST).to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for entry in extra {
        if let Some((name, address)) = entry.split_once([':', '=']) {
            text.push_str(&format!("{address}\t{name}\n"));
        }
    }
    text
}

/// `/etc/resolv.conf`: the host's, with what `config` gives put in its place.
pub fn resolv_conf(host: &str, config: &HostConfig) -> String {
    let given = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let (servers, search, options) = (
        given(&config.dns),
        given(&config.dns_search),
        given(&config.dns_options),
    );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_the_network_with_the_added_ones() {
        let extra = ["db:10.0.0.1".to_owned(), "six:fd00::1".to_owned()];
        assert_eq!(
            hosts(Some("1.2.3.4 host"), &extra),
            "1.2.3.4 host\n10.0.0.1\tdb\nfd00::1\tsix\n"
        );
        assert!(hosts(None, &[]).starts_with("127.0.0.1\tlocalhost\n"));
    }

    #[test]
    fn name_servers_are_the_hosts_unless_given() {
        let host = "# made by us\nnameserver 192.0.2.1\nsearch example.org\noptions rotate";
        assert_eq!(
            resolv_conf(host, &HostConfig::default()),
            format!("{host}\n")
        );
        let config = HostConfig {
            dns: Some(vec!["9.9.9.9".into()]),
            dns_search: Some(vec![".".into()]),
            dns_options: Some(vec!["ndots:2".into()]),
            ..HostConfig::default()
        };
        assert_eq!(
            resolv_conf(host, &config),
            "# made by us\nnameserver 9.9.9.9\noptions ndots:2\n"
        );
    }
}
