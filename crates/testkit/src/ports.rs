use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A TCP port of the host's loopback address that leads to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Port on 127.0.0.1; 0 lets the kernel choose a free one.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}

impl Forward {
    /// A free host port that leads to `guest`.
    pub const fn to(guest: u16) -> Self {
        Self { host: 0, guest }
    }
}

impl FromStr for Forward {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (host, guest) = text.split_once(':')?;
            let guest = guest.parse().ok().filter(|port| *port != 0)?;
            Some(Self {
                host: host.parse().ok()?,
                guest,
            })
        };
        parse().ok_or_else(|| Error::BadForward(text.to_owned()))
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "127.0.0.1:{} → {}", self.host, self.guest)
    }
}

/// Reads the answer of QEMU's `info usernet`: the ports that were really opened, host port 0 replaced by the chosen one.
pub(crate) fn parse_usernet(answer: &str) -> Vec<Forward> {
    answer.lines().filter_map(parse_usernet_line).collect()
}

/// The host's port that leads to a port of the guest.
pub(crate) fn host_port(ports: &[Forward], guest: u16) -> Result<u16> {
    let found = ports.iter().find(|forward| forward.guest == guest);
    found
        .map(|forward| forward.host)
        .ok_or(Error::NotForwarded(guest))
}

/// Columns: `TCP[HOST_FORWARD] FD SOURCE-ADDRESS PORT DEST-ADDRESS PORT RECVQ SENDQ`.
fn parse_usernet_line(line: &str) -> Option<Forward> {
    let mut words = line.split_whitespace();
    if words.next()? != "TCP[HOST_FORWARD]" {
        return None;
    }
    let host = words.nth(2)?.parse().ok()?;
    let guest = words.nth(1)?.parse().ok()?;
    Some(Forward { host, guest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forwardings() {
        let cases = [
            ("8080:80", Some((8080, 80))),
            ("0:22", Some((0, 22))),
            ("80", None),
            ("8080:0", None),
            ("a:b", None),
            ("99999:80", None),
        ];
        for (text, expected) in cases {
            let read = text.parse::<Forward>().ok().map(|f| (f.host, f.guest));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn reads_the_ports_that_qemu_chose() {
        let answer = "Hub -1 (n0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
            TCP[HOST_FORWARD]   8       127.0.0.1 43037       10.0.2.15    22     0     0\r\n  \
            TCP[ESTABLISHED]   9       127.0.0.1 43037       10.0.2.15    22     0     0\r\n  \
            TCP[HOST_FORWARD]   3       127.0.0.1  8080       10.0.2.15    80     0     0\r\n";
        let expected = [
            Forward {
                host: 43037,
                guest: 22,
            },
            Forward {
                host: 8080,
                guest: 80,
            },
        ];
        assert_eq!(parse_usernet(answer), expected);
    }
}
