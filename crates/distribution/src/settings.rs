//! Which endpoints a registry has, and what is known about them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use coracle_image::Named;

use crate::credentials::Credentials;
use crate::proxy::Proxies;

/// The registry of names without a domain, as it is written in names.
const DOCKER_HUB: &str = "docker.io";
/// Where it is served.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// How clients call it when they log in.
const DOCKER_HUB_INDEX: &str = "index.docker.io";

/// How registries are reached. The names of the fields are those of `daemon.json` where it has them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Registries whose certificate is not checked, and that may speak plain HTTP: `host`, `host:port`, or a network as
    /// `10.0.0.0/8`. Loopback addresses are always of them.
    pub insecure_registries: Vec<String>,
    /// URLs that are asked before Docker Hub, in their order.
    pub registry_mirrors: Vec<String>,
    /// Certificate authorities in PEM, the first file that exists.
    pub ca_bundles: Vec<PathBuf>,
    /// Further ones by registry: `<host>[:port]/*.crt`.
    pub certificates: PathBuf,
    /// Credentials by registry, for clients that send none (`rancher.registry_auths`).
    pub registry_auths: BTreeMap<String, Credentials>,
    /// Proxies on the way.
    pub proxies: Proxies,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure_registries: Vec::new(),
            registry_mirrors: Vec::new(),
            ca_bundles: vec!["/etc/ssl/certs/ca-certificates.crt".into()],
            certificates: "/etc/docker/certs.d".into(),
            registry_auths: BTreeMap::new(),
            proxies: Proxies::default(),
        }
    }
}

/// One way to reach a registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// Whether it speaks HTTPS.
    pub tls: bool,
    /// Host, with a port if it is not the scheme's.
    pub authority: String,
    /// Whether its certificate must be good.
    pub verify: bool,
    /// Whether it is a mirror of the registry, which gets no credentials of it.
    pub mirror: bool,
}

impl Endpoint {
    /// `https://registry.example:5000`, without a slash at the end.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

impl Settings {
    /// Endpoints of a registry (the domain of a name) in the order in which they are to be tried. Plain HTTP comes only
    /// after the same host with TLS, and only when it is insecure.
    pub fn endpoints(&self, domain: &str, mirrors: bool) -> Vec<Endpoint> {
        let is_hub = matches!(domain, DOCKER_HUB | DOCKER_HUB_INDEX);
        let mut endpoints = Vec::new();
        if is_hub && mirrors {
            endpoints.extend(
                self.registry_mirrors
                    .iter()
                    .filter_map(|url| self.mirror(url)),
            );
        }
        let authority = if is_hub { DOCKER_HUB_HOST } else { domain };
        let insecure = self.is_insecure(authority);
        let endpoint = |tls| Endpoint {
            tls,
            authority: authority.to_owned(),
            verify: !insecure,
            mirror: false,
        };
        endpoints.push(endpoint(true));
        endpoints.extend(insecure.then(|| endpoint(false)));
        endpoints
    }

    /// The configured credentials of a repository's registry.
    pub fn credentials(&self, name: &Named) -> Option<&Credentials> {
        let host = login_host(name.domain());
        self.registry_auths
            .iter()
            .find(|(registry, _)| login_host(&hostname(registry)) == host)
            .map(|(_, credentials)| credentials)
    }

    fn mirror(&self, url: &str) -> Option<Endpoint> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let authority = rest.trim_end_matches('/');
        // A mirror below a path is none that Docker takes either.
        if authority.is_empty() || authority.contains('/') || !matches!(scheme, "http" | "https") {
            tracing::warn!("registry mirror {url} is left out: it is no URL of a host");
            return None;
        }
        Some(Endpoint {
            tls: scheme == "https",
            authority: authority.to_owned(),
            verify: !self.is_insecure(authority),
            mirror: true,
        })
    }

    fn is_insecure(&self, authority: &str) -> bool {
        let host = host(authority);
        let address: Option<IpAddr> = match host {
            // As Docker, without asking a resolver.
            "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            host => host.trim_matches(['[', ']']).parse().ok(),
        };
        address.is_some_and(|address| address.is_loopback())
            || self.insecure_registries.iter().any(|insecure| {
                insecure == authority
                    || insecure == host
                    || address.is_some_and(|address| is_in(address, insecure))
            })
    }
}

/// The host of `host[:port]`.
pub(crate) fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|b| b.is_ascii_digit())
                && (host.ends_with(']') || !host.contains(':')) =>
        {
            host
        }
        _ => authority,
    }
}

/// The registry in what users and clients write: `https://index.docker.io/v1/`, `registry.example:5000`.
pub(crate) fn hostname(text: &str) -> String {
    let text = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or(text);
    text.split('/').next().unwrap_or_default().to_owned()
}

/// Docker Hub has several names.
fn login_host(host: &str) -> &str {
    match host {
        DOCKER_HUB_INDEX | DOCKER_HUB_HOST => DOCKER_HUB,
        host => host,
    }
}

/// Whether an address is in a network, `10.0.0.0/8`.
pub(crate) fn is_in(address: IpAddr, network: &str) -> bool {
    let Some((network, length)) = network.split_once('/') else {
        return false;
    };
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((address, width), (network, network_width)) = (bits(address), bits(network));
    // Bits beyond the length do not count; a shift by all of them is not defined.
    let shift = 128_u32.saturating_sub(length);
    width == network_width
        && length <= width
        && (shift == 128 || address >> shift == network >> shift)
}

#[cfg(test)]
mod tests {
    use coracle_image::Reference;

    use super::*;

    fn urls(settings: &Settings, domain: &str, mirrors: bool) -> Vec<String> {
        let show = |endpoint: Endpoint| {
            let verify = if endpoint.verify { "" } else { " unchecked" };
            let mirror = if endpoint.mirror { " mirror" } else { "" };
            format!("{}{verify}{mirror}", endpoint.url())
        };
        let endpoints = settings.endpoints(domain, mirrors);
        endpoints.into_iter().map(show).collect()
    }

    #[test]
    fn endpoints_are_tried_in_dockers_order() {
        let settings = Settings {
            insecure_registries: vec![
                "reg.lan:5000".into(),
                "plain.lan".into(),
                "10.1.0.0/16".into(),
                "fd00::/8".into(),
            ],
            registry_mirrors: vec![
                "http://mirror.lan:5000/".into(),
                "https://m.example".into(),
                "ftp://x".into(),
            ],
            ..Settings::default()
        };
        let both = |host: &str| {
            vec![
                format!("https://{host} unchecked"),
                format!("http://{host} unchecked"),
            ]
        };
        for (domain, expected) in [
            ("ghcr.io", vec!["https://ghcr.io".to_owned()]),
            ("reg.lan:5000", both("reg.lan:5000")),
            ("reg.lan", vec!["https://reg.lan".to_owned()]),
            ("plain.lan:81", both("plain.lan:81")),
            ("10.1.2.3:80", both("10.1.2.3:80")),
            ("10.2.2.3", vec!["https://10.2.2.3".to_owned()]),
            ("[fd00::1]:5000", both("[fd00::1]:5000")),
            ("localhost:5000", both("localhost:5000")),
            ("127.9.9.9", both("127.9.9.9")),
            ("[::1]:1", both("[::1]:1")),
            (
                "docker.io",
                vec![
                    "http://mirror.lan:5000 mirror".to_owned(),
                    "https://m.example mirror".to_owned(),
                    "https://registry-1.docker.io".to_owned(),
                ],
            ),
        ] {
            assert_eq!(urls(&settings, domain, true), expected, "{domain}");
        }
        assert_eq!(
            urls(&settings, "docker.io", false),
            ["https://registry-1.docker.io"]
        );
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (address, network, expected) in [
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.3/32", true),
            ("10.1.2.3", "10.1.2.3/33", false),
            ("10.1.2.3", "::/0", false),
            ("::1", "::/0", true),
            ("10.1.2.3", "10.1.2.3", false),
        ] {
            assert_eq!(is_in(address.parse().unwrap(), network), expected);
        }
    }

    #[test]
    fn credentials_are_found_by_host() {
        let credentials = |user: &str| Credentials {
            username: user.into(),
            ..Credentials::default()
        };
        let settings = Settings {
            registry_auths: [
                ("https://index.docker.io/v1/".to_owned(), credentials("hub")),
                ("reg.lan:5000".to_owned(), credentials("lan")),
            ]
            .into(),
            ..Settings::default()
        };
        for (name, expected) in [
            ("busybox", Some("hub")),
            ("reg.lan:5000/x", Some("lan")),
            ("reg.lan/x", None),
        ] {
            let name = Reference::parse(name).unwrap().name;
            let found = settings.credentials(&name).map(|c| c.username.as_str());
            assert_eq!(found, expected);
        }
    }
}
