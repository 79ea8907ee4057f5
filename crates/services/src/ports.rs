//! Compose's port notation: `[[ip:]host:]container[/protocol]`, with ranges.

use std::net::IpAddr;

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Address of the host it listens on; `None` for all.
    pub ip: Option<IpAddr>,
    /// Port of the host; `None` lets the engine choose.
    pub host: Option<u16>,
    /// Port inside the container.
    pub container: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// Reads one entry of `ports`; a range gives several ports.
///
/// # Errors
/// The reason, when the notation is wrong.
pub(crate) fn parse(entry: &str) -> Result<Vec<Port>, String> {
    let bad = |why: &str| {
        format!("'{entry}' is not a port ({why}); write [ip:][host:]container[/tcp|udp]")
    };
    let (rest, protocol) = match entry.rsplit_once('/') {
        Some((rest, protocol)) => (rest, protocol.to_ascii_lowercase()),
        None => (entry, "tcp".to_string()),
    };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(bad("unknown protocol"));
    }
    let (head, container) = match rest.rsplit_once(':') {
        Some((head, container)) => (Some(head), container),
        None => (None, rest),
    };
    let container = range(container).ok_or_else(|| bad("container port"))?;
    let (ip, host) = match head {
        None => (None, None),
        Some(head) => match head.rsplit_once(':') {
            None => (None, Some(head)),
            Some((ip, host)) => (Some(ip.trim_matches(['[', ']'])), Some(host)),
        },
    };
    let ip = match ip {
        None | Some("") => None,
        Some(ip) => Some(ip.parse().map_err(|_| bad("address"))?),
    };
    let host = match host {
        None | Some("") => None,
        Some(host) => Some(range(host).ok_or_else(|| bad("host port"))?),
    };
    let length = container.1 - container.0;
    if let Some(host) = host
        && host.1 - host.0 != length
    {
        return Err(bad("the two ranges differ in length"));
    }
    Ok((0..=length)
        .map(|i| Port {
            ip,
            host: host.map(|h| h.0 + i),
            container: container.0 + i,
            protocol: protocol.clone(),
        })
        .collect())
}

/// `N` or `N-M`, from 1.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: Option<&str>, host: Option<u16>, container: u16, protocol: &str) -> Port {
        Port {
            ip: ip.map(|ip| ip.parse().unwrap()),
            host,
            container,
            protocol: protocol.into(),
        }
    }

    #[test]
    fn notation_is_read() {
        let table = [
            ("80", vec![port(None, None, 80, "tcp")]),
            ("8080:80", vec![port(None, Some(8080), 80, "tcp")]),
            ("53:53/UDP", vec![port(None, Some(53), 53, "udp")]),
            (
                "127.0.0.1:8080:80",
                vec![port(Some("127.0.0.1"), Some(8080), 80, "tcp")],
            ),
            (
                "127.0.0.1::80",
                vec![port(Some("127.0.0.1"), None, 80, "tcp")],
            ),
            (
                "[::1]:8080:80",
                vec![port(Some("::1"), Some(8080), 80, "tcp")],
            ),
            (
                "8000-8001:80-81",
                vec![
                    port(None, Some(8000), 80, "tcp"),
                    port(None, Some(8001), 81, "tcp"),
                ],
            ),
        ];
        for (entry, want) in table {
            assert_eq!(parse(entry), Ok(want), "{entry}");
        }
    }

    #[test]
    fn wrong_notation_is_explained() {
        let table = [
            ("http", "container port"),
            ("0", "container port"),
            ("80/icmp", "unknown protocol"),
            ("x:80", "host port"),
            ("300.0.0.1:1:80", "address"),
            ("1-3:80", "the two ranges differ in length"),
        ];
        for (entry, why) in table {
            assert_eq!(
                parse(entry),
                Err(format!(
                    "'{entry}' is not a port ({why}); write [ip:][host:]container[/tcp|udp]"
                ))
            );
        }
    }
}
