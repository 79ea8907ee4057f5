//! `rancher.network` (inventory B.5).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Command, lenient};

/// How the machine is connected.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Run before anything is configured.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub pre_cmds: Vec<Command>,
    /// Run after everything is configured.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub post_cmds: Vec<Command>,
    /// Seconds to wait for a lease before going on without one.
    #[serde(deserialize_with = "lenient::optional_number")]
    pub dhcp_timeout: Option<u64>,
    /// Name servers and search list.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub dns: Dns,
    /// Interfaces by name, glob, or `mac=` address.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub interfaces: BTreeMap<String, Interface>,
    /// Proxy for HTTP.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub http_proxy: Option<String>,
    /// Proxy for HTTPS.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub https_proxy: Option<String>,
    /// Hosts that are reached without a proxy.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub no_proxy: Option<String>,
}

/// Name resolution. When set, DHCP's name servers are not used (B5-003).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses of name servers.
    #[serde(deserialize_with = "lenient::strings")]
    pub nameservers: Vec<String>,
    /// Domains that short names are tried in.
    #[serde(deserialize_with = "lenient::strings")]
    pub search: Vec<String>,
}

/// One interface, or all that a glob names.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Which interfaces, when it is not the key itself.
    #[serde(rename = "match", deserialize_with = "lenient::optional_string")]
    pub matches: Option<String>,
    /// Whether to ask DHCP; unset means no, once an interface is defined (B5-009).
    #[serde(deserialize_with = "lenient::boolean")]
    pub dhcp: bool,
    /// Arguments in the words of dhcpcd (B5-010).
    #[serde(deserialize_with = "lenient::optional_string")]
    pub dhcp_args: Option<String>,
    /// One static address, CIDR.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub address: Option<String>,
    /// Static addresses, CIDR.
    #[serde(deserialize_with = "lenient::strings")]
    pub addresses: Vec<String>,
    /// IPv4 link-local address.
    #[serde(deserialize_with = "lenient::boolean")]
    pub ipv4ll: bool,
    /// IPv4 default route.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub gateway: Option<String>,
    /// IPv6 default route.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub gateway_ipv6: Option<String>,
    /// Maximum transmission unit, bytes.
    #[serde(deserialize_with = "lenient::optional_number")]
    pub mtu: Option<u64>,
    /// `true` for a bridge, or the bridge to join.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub bridge: Option<String>,
    /// Bond to join.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub bond: Option<String>,
    /// Options of a bond, as its files in sysfs are called.
    #[serde(deserialize_with = "lenient::string_map")]
    pub bond_opts: BTreeMap<String, String>,
    /// `100,200:name`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub vlans: Option<String>,
    /// Commands before this interface is configured.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub pre_up: Vec<Command>,
    /// Commands after this interface is configured.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub post_up: Vec<Command>,
}

impl Interface {
    /// `address` and `addresses` together.
    #[must_use]
    pub fn all_addresses(&self) -> Vec<&str> {
        self.address
            .iter()
            .chain(&self.addresses)
            .map(String::as_str)
            .collect()
    }
}
