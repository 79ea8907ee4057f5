//! Which interfaces a key of `rancher.network.interfaces` means (inventory B5-007, B5-008, H1-003).

use std::fmt;

/// A hardware address as netlink gives it.
pub type Mac = [u8; 6];

/// A key or `match` of an interface entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `mac=52:54:00:12:34:56` or `mac:…`, globs allowed; lower case.
    Mac(String),
    /// `eth0`
    Name(String),
    /// `eth*`
    Glob(String),
}

impl Selector {
    /// Every text is a selector of some kind.
    pub fn parse(text: &str) -> Self {
        if let Some(mac) = text
            .strip_prefix("mac=")
            .or_else(|| text.strip_prefix("mac:"))
        {
            return Self::Mac(mac.to_ascii_lowercase());
        }
        if text.contains(['*', '?']) {
            return Self::Glob(text.to_owned());
        }
        Self::Name(text.to_owned())
    }

    /// How well this selector fits: `None` not at all, else larger is better (MAC before name before glob, long glob before
    /// short). `virtual_link`: bonds, VLANs and bridges carry the address of a member, so addresses never select them.
    pub fn rank(&self, name: &str, mac: Option<&Mac>, virtual_link: bool) -> Option<u32> {
        match self {
            Self::Mac(pattern) => {
                let mac = mac.filter(|_| !virtual_link)?;
                glob_matches(pattern, &format_mac(mac)).then_some(u32::MAX)
            }
            Self::Name(wanted) => (wanted == name).then_some(u32::MAX - 1),
            // Containers' halves of veth pairs come and go by hundreds; no glob means them.
            Self::Glob(_) if name.starts_with("veth") => None,
            Self::Glob(pattern) => glob_matches(pattern, name).then(|| literal_length(pattern)),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "mac={mac}"),
            Self::Name(text) | Self::Glob(text) => f.write_str(text),
        }
    }
}

/// `52:54:00:12:34:56`
pub fn format_mac(mac: &Mac) -> String {
    let octets: Vec<String> = mac.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}

fn literal_length(pattern: &str) -> u32 {
    pattern.chars().filter(|c| !matches!(c, '*' | '?')).count() as u32
}

/// Shell globs with `*` and `?`, which is what interface keys use.
fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to resume after the last `*`, should what follows it not fit.
    let mut resume: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                resume = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match resume {
                Some((after_star, taken)) => {
                    resume = Some((after_star, taken + 1));
                    p = after_star;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let table = [
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth?", "eth10", false),
            ("*", "anything", true),
            ("e*h*0", "eth10", true),
            ("e*h*1", "eth10", false),
            ("en?p*s0", "enp3s0", false),
            ("", "", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(
                glob_matches(pattern, text),
                expected,
                "{text} like {pattern}"
            );
        }
    }

    #[test]
    fn address_wins_over_name_and_name_over_glob() {
        let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        let best_first = [
            "mac=52:54:00:12:34:56",
            "eth0",
            "eth?", // same length as eth*: first one listed wins, which config decides
            "e*",
            "*",
        ];
        let ranks: Vec<u32> = best_first
            .iter()
            .map(|text| Selector::parse(text).rank("eth0", Some(&mac), false))
            .map(|rank| rank.expect("matches"))
            .collect();
        assert!(ranks.is_sorted_by(|a, b| a > b), "{ranks:?}");
    }

    #[test]
    fn addresses_do_not_select_virtual_links_and_globs_do_not_select_veth() {
        let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        let table = [
            ("mac=52:54:*", "bond0", true, false),
            ("mac:52:54:*", "eth0", false, true),
            ("MAC=52:54:*", "eth0", false, false),
            ("*", "veth12ab", true, false),
            ("veth12ab", "veth12ab", true, true),
        ];
        for (text, name, virtual_link, expected) in table {
            let rank = Selector::parse(text).rank(name, Some(&mac), virtual_link);
            assert_eq!(rank.is_some(), expected, "{text} for {name}");
        }
    }
}
