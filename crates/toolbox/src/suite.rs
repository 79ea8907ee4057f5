use std::path::Path;

const MIRROR: &str = "http://deb.debian.org";

/// A Debian release, as apt sees it with its update and security suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// Debian 13, the current stable: kernel, services and tools.
    Trixie,
    /// Debian 14, testing: the newest Docker Engine.
    Forky,
}

impl Suite {
    /// The code name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    /// The suite with this code name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Trixie, Self::Forky]
            .into_iter()
            .find(|suite| suite.name() == name)
    }

    /// apt's source list: every line is bound to Debian's own keys.
    pub(crate) fn sources(self, keyring: &Path) -> String {
        let lines: &[(&str, &str, &str)] = match self {
            Self::Trixie => &[
                ("deb", "debian", "trixie"),
                ("deb-src", "debian", "trixie"),
                ("deb", "debian", "trixie-updates"),
                ("deb", "debian-security", "trixie-security"),
                ("deb-src", "debian-security", "trixie-security"),
            ],
            Self::Forky => &[("deb", "debian", "forky")],
        };
        lines
            .iter()
            .map(|(kind, archive, name)| {
                format!(
                    "{kind} [arch=amd64 signed-by={}] {MIRROR}/{archive} {name} main\n",
                    keyring.display()
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_line_is_bound_to_the_keyring() {
        for suite in [Suite::Trixie, Suite::Forky] {
            for line in suite.sources(Path::new("/keys.gpg")).lines() {
                assert!(line.contains("signed-by=/keys.gpg]"), "{line}");
            }
        }
    }

    #[test]
    fn names_round_trip() {
        assert_eq!(Suite::from_name("forky"), Some(Suite::Forky));
        assert_eq!(Suite::from_name("sid"), None);
    }
}
