//! The banner above the login prompt, also in `/etc/issue` (inventory A7-016, A7-029): what runs here and where to reach it.

use std::net::IpAddr;
use std::path::Path;

use coracle_host_network::state::{NetworkState, STATE_FILE};

use crate::error::Error;
use crate::file;

/// What the banner says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Banner {
    /// `PRETTY_NAME` of os-release.
    pub system: String,
    /// Host name.
    pub hostname: String,
    /// Interface and address, link-local and loopback left out.
    pub addresses: Vec<(String, IpAddr)>,
    /// Whether the network service is still asking.
    pub waiting: bool,
}

impl Banner {
    /// From the running machine.
    pub fn current() -> Self {
        let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let network = NetworkState::read(Path::new(STATE_FILE)).ok();
        Self::new(
            &os_release,
            &coracle_host_network::hostname::current(),
            network.as_ref(),
        )
    }

    /// From the text of os-release, the host name and what the network service has published.
    pub fn new(os_release: &str, hostname: &str, network: Option<&NetworkState>) -> Self {
        let reachable = network
            .map(NetworkState::reachable_addresses)
            .unwrap_or_default();
        Self {
            system: pretty_name(os_release).unwrap_or("Coracle").to_owned(),
            hostname: hostname.to_owned(),
            addresses: reachable
                .into_iter()
                .map(|(interface, address)| (interface.to_owned(), address))
                .collect(),
            waiting: network.is_none_or(|network| !network.ready),
        }
    }

    /// Whether the address that people connect to may still come. One of IPv6 is often there first: routers announce it unasked.
    pub fn expects_address(&self) -> bool {
        self.waiting && !self.addresses.iter().any(|(_, address)| address.is_ipv4())
    }

    /// The text, ending in an empty line.
    pub fn render(&self) -> String {
        let mut text = format!(
            "\n      \\      \n   ____\\____   {}\n   \\_______/   {}\n",
            self.system, self.hostname
        );
        let mut note = |words: &str| text.push_str(&format!("  ~~~~~~~~~~~  {words}\n"));
        match self.addresses.as_slice() {
            [] if self.waiting => note("waiting for an address"),
            [] => note("no address"),
            [(interface, address), rest @ ..] => {
                note(&format!("{interface} {address}"));
                for (interface, address) in rest {
                    text.push_str(&format!("               {interface} {address}\n"));
                }
            }
        }
        text.push('\n');
        text
    }

    /// Puts the banner into `etc/issue`, where other gettys and tools look. A backslash starts an escape there (agetty(8)).
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_issue(&self, root: &Path) -> Result<(), Error> {
        let text = self.render().replace('\\', "\\\\");
        file::replace_if_different(&root.join("etc/issue"), text.as_bytes(), 0o644).map(drop)
    }
}

/// The value of `PRETTY_NAME` (os-release(5)).
fn pretty_name(os_release: &str) -> Option<&str> {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|value| value.trim_matches(['"', '\'']))
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use coracle_host_network::state::InterfaceState;

    use super::*;

    fn network(ready: bool, addresses: &[&str]) -> NetworkState {
        NetworkState {
            ready,
            interfaces: vec![InterfaceState {
                name: "eth0".to_owned(),
                mac: None,
                carrier: true,
                mtu: 1500,
                addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
                dhcp: None,
            }],
            ..NetworkState::default()
        }
    }

    #[test]
    fn version_name_and_addresses_are_shown() {
        let os_release = "NAME=\"Coracle\"\nPRETTY_NAME=\"Coracle v0.1.0\"\n";
        let state = network(true, &["10.0.2.15/24", "fe80::1/64", "fec0::5/64"]);
        assert_eq!(
            Banner::new(os_release, "ship", Some(&state)).render(),
            "\n      \\      \n   ____\\____   Coracle v0.1.0\n   \\_______/   ship\n\
             \x20 ~~~~~~~~~~~  eth0 10.0.2.15\n               eth0 fec0::5\n\n"
        );
    }

    #[test]
    fn an_address_is_expected_until_one_of_ipv4_is_there_or_the_network_has_settled() {
        let table = [
            (None, true),
            (Some(network(false, &[])), true),
            (Some(network(false, &["fec0::5/64"])), true),
            (Some(network(false, &["fec0::5/64", "10.0.2.15/24"])), false),
            (Some(network(true, &["fec0::5/64"])), false),
            (Some(network(true, &[])), false),
        ];
        for (state, expected) in table {
            let banner = Banner::new("", "ship", state.as_ref());
            assert_eq!(banner.expects_address(), expected, "{banner:?}");
        }
    }

    #[test]
    fn missing_addresses_are_explained() {
        let table = [
            (None, "waiting for an address"),
            (Some(network(false, &[])), "waiting for an address"),
            (Some(network(true, &["127.0.0.1/8"])), "no address"),
        ];
        for (state, expected) in table {
            let text = Banner::new("", "ship", state.as_ref()).render();
            assert!(text.contains(expected), "{text}");
            assert!(text.contains("Coracle"), "{text}");
        }
    }
}
