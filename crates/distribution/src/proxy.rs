//! Proxies, by the rules of `http_proxy`, `https_proxy` and `no_proxy` as Docker's client library reads them.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::credentials::Credentials;
use crate::settings::{host, is_in};

/// Which proxies there are. Loopback is never reached by one.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Proxies {
    /// For plain HTTP: `http://[user:password@]host[:port]`; empty is none.
    pub http: String,
    /// For HTTPS, by `CONNECT`; the same form.
    pub https: String,
    /// Who is reached without: names with what is below them, `.name` for that only, addresses, networks, each perhaps
    /// with a port, separated by commas; `*` is everybody.
    pub none: String,
}

/// A proxy to be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proxy {
    /// Host and port.
    pub authority: String,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<String>,
}

/// URLs of proxies may hold passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("none", &self.none)
            .finish_non_exhaustive()
    }
}

impl Proxies {
    /// The proxy on the way to `authority`, if there is one.
    pub(crate) fn on_the_way(&self, tls: bool, authority: &str) -> Option<Proxy> {
        let url = if tls { &self.https } else { &self.http };
        if url.is_empty() || self.is_excepted(authority, if tls { "443" } else { "80" }) {
            return None;
        }
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let rest = rest.split('/').next().unwrap_or_default();
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let authorization = user.and_then(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            Credentials {
                username: decoded(name),
                password: decoded(password),
                ..Credentials::default()
            }
            .basic()
        });
        Some(Proxy {
            authority: authority.to_owned(),
            authorization,
        })
    }

    fn is_excepted(&self, authority: &str, usual_port: &str) -> bool {
        let name = host(authority);
        let port = authority.get(name.len() + 1..).unwrap_or(usual_port);
        let name = name.trim_matches(['[', ']']).to_ascii_lowercase();
        let address: Option<IpAddr> = name.parse().ok();
        if name == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.none.split(',').map(str::trim).any(|entry| {
            let (pattern, wanted) = match entry.rsplit_once(':') {
                Some((pattern, wanted)) if wanted.bytes().all(|b| b.is_ascii_digit()) => {
                    (pattern, Some(wanted))
                }
                _ => (entry, None),
            };
            let pattern = pattern.to_ascii_lowercase();
            let fits = match (pattern.as_str(), address) {
                ("", _) => false,
                ("*", _) => true,
                (pattern, Some(address)) => {
                    is_in(address, pattern) || pattern.parse().is_ok_and(|p: IpAddr| p == address)
                }
                (pattern, None) => {
                    let below = pattern.trim_start_matches('*').trim_start_matches('.');
                    name.strip_suffix(below)
                        .is_some_and(|rest| rest.ends_with('.'))
                        || name == pattern
                }
            };
            fits && wanted.is_none_or(|wanted| wanted == port)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_used_but_for_exceptions() {
        let with = |none: &str| Proxies {
            http: "proxy.lan:3128".into(),
            https: "http://u:p%40x@secure.lan".into(),
            none: none.into(),
        };
        let plain = |authority: &str| Some(format!("{authority} "));
        for (none, tls, authority, expected) in [
            ("", false, "a.example", plain("proxy.lan:3128")),
            (
                "",
                true,
                "a.example",
                Some("secure.lan Basic dTpwQHg=".into()),
            ),
            ("", true, "127.0.0.1:5000", None),
            ("", false, "localhost", None),
            ("", false, "[::1]:80", None),
            ("*", false, "a.example", None),
            ("b.example, example", false, "a.example:5000", None),
            ("example", false, "anexample", plain("proxy.lan:3128")),
            (".example", false, "a.example", None),
            (".a.example", false, "a.example", plain("proxy.lan:3128")),
            ("a.example:5000", false, "a.example:5000", None),
            (
                "a.example:5000",
                false,
                "a.example",
                plain("proxy.lan:3128"),
            ),
            ("10.0.0.0/8", false, "10.1.2.3", None),
            ("10.1.2.3", false, "10.1.2.3:5000", None),
            ("10.1.2.4", false, "10.1.2.3", plain("proxy.lan:3128")),
        ] {
            let found = with(none).on_the_way(tls, authority);
            let found = found.map(|proxy| {
                format!(
                    "{} {}",
                    proxy.authority,
                    proxy.authorization.unwrap_or_default()
                )
            });
            assert_eq!(found, expected, "{none} {authority}");
        }
        assert_eq!(Proxies::default().on_the_way(true, "a.example"), None);
        assert!(!format!("{:?}", with("")).contains("p%40x"));
    }
}
