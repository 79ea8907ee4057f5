//! `/run/coracle/network.json`: what the network service has achieved, for those who wait for it (inotify on the file's
//! directory: it is replaced by rename) and for `/etc/issue`.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Where the state is published.
pub const STATE_FILE: &str = "/run/coracle/network.json";

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkState {
    /// The first attempt at every interface has ended, well or not, and there is one or none appears. Never goes back.
    pub ready: bool,
    /// There is a default route.
    pub online: bool,
    /// Gateways of the default routes.
    pub gateways: Vec<IpAddr>,
    /// What `resolv.conf` holds.
    pub nameservers: Vec<IpAddr>,
    /// What `resolv.conf` holds.
    pub search: Vec<String>,
    /// Time servers from DHCP (option 42).
    pub ntp_servers: Vec<IpAddr>,
    /// The interfaces that configuration selects, by index.
    pub interfaces: Vec<InterfaceState>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceState {
    /// Name, for instance `eth0`.
    pub name: String,
    /// Hardware address, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The wire is connected.
    pub carrier: bool,
    /// Bytes.
    pub mtu: u32,
    /// Addresses with prefix length, as the kernel lists them.
    pub addresses: Vec<String>,
    /// Where the DHCP client is; absent without DHCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<DhcpProgress>,
}

/// Progress of an interface's DHCP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DhcpProgress {
    /// No answer yet.
    Asking,
    /// No answer within `dhcp_timeout`; the client goes on asking.
    Unanswered,
    /// It has a lease.
    Bound,
}

impl NetworkState {
    /// Addresses that others can reach the machine at: no loopback, no link-local.
    pub fn reachable_addresses(&self) -> Vec<(&str, IpAddr)> {
        let mut reachable = Vec::new();
        for interface in &self.interfaces {
            for text in &interface.addresses {
                let Some(address) = text.split('/').next().and_then(|text| text.parse().ok())
                else {
                    continue;
                };
                let local = match address {
                    IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
                    IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
                };
                if !local {
                    reachable.push((interface.name.as_str(), address));
                }
            }
        }
        reachable
    }

    /// The published state.
    ///
    /// # Errors
    /// The file does not exist (the network service has not started) or is not this format.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Publishes the state: a reader sees the old file or the new one.
    ///
    /// # Errors
    /// The directory cannot be made or written to.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        // On a tmpfs: rename makes it atomic, and there is nothing to sync.
        let temporary = path.with_extension("json.new");
        std::fs::write(&temporary, serde_json::to_vec(self)?)?;
        std::fs::rename(&temporary, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[&str]) -> InterfaceState {
        InterfaceState {
            name: name.to_owned(),
            mac: None,
            carrier: true,
            mtu: 1500,
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            dhcp: Some(DhcpProgress::Bound),
        }
    }

    #[test]
    fn file_format() {
        let state = NetworkState {
            ready: true,
            online: true,
            gateways: vec!["10.0.2.2".parse().unwrap()],
            nameservers: vec!["10.0.2.3".parse().unwrap()],
            interfaces: vec![interface("eth0", &["10.0.2.15/24"])],
            ..NetworkState::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("coracle/network.json");
        state.write(&path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            r#"{"ready":true,"online":true,"gateways":["10.0.2.2"],"nameservers":["10.0.2.3"],"search":[],"ntp_servers":[],"interfaces":[{"name":"eth0","carrier":true,"mtu":1500,"addresses":["10.0.2.15/24"],"dhcp":"bound"}]}"#
        );
        assert_eq!(NetworkState::read(&path).unwrap(), state);
    }

    #[test]
    fn reachable_addresses_are_neither_loopback_nor_link_local() {
        let state = NetworkState {
            interfaces: vec![
                interface("lo", &["127.0.0.1/8", "::1/128"]),
                interface("eth0", &["10.0.2.15/24", "fe80::1/64", "fec0::2/64"]),
            ],
            ..NetworkState::default()
        };
        let expected: Vec<(&str, IpAddr)> = vec![
            ("eth0", "10.0.2.15".parse().unwrap()),
            ("eth0", "fec0::2".parse().unwrap()),
        ];
        assert_eq!(state.reachable_addresses(), expected);
    }
}
