//! `modules.alias`: which module drives a device (depmod(8), kernel: Documentation/driver-api/driver-model).

use std::collections::HashMap;

/// What answers questions about aliases.
#[derive(Debug)]
pub enum Aliases {
    /// For whoever asks about every device of a machine.
    Table(AliasTable),
    /// The file's text, for whoever asks once or twice: a search takes a tenth of the time that making a table does.
    Text(String),
}

impl Aliases {
    /// The modules whose patterns match `alias`, without repetition.
    #[must_use]
    pub fn modules(&self, alias: &str) -> Vec<String> {
        match self {
            Self::Table(table) => table.modules(alias),
            Self::Text(text) => {
                let lines = text.lines().filter(|line| may_match(line, alias));
                AliasTable::of_lines(lines).modules(alias)
            }
        }
    }
}

/// Patterns with shell wildcards, found by the text before their first wildcard.
///
/// A full set of drivers has tens of thousands of patterns and a machine some hundred devices; comparing each with each
/// would take longer than loading the modules.
#[derive(Debug, Default)]
pub struct AliasTable {
    by_prefix: HashMap<String, Vec<(String, String)>>,
}

impl AliasTable {
    /// Parses lines of `alias PATTERN MODULE`; others are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::of_lines(text.lines())
    }

    fn of_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut table = Self::default();
        for line in lines {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) =
                (words.next(), words.next(), words.next())
            {
                let pattern = normalise_pattern(pattern);
                let prefix = pattern
                    .find(['*', '?', '['])
                    .map_or(pattern.as_str(), |at| &pattern[..at])
                    .to_owned();
                table
                    .by_prefix
                    .entry(prefix)
                    .or_default()
                    .push((pattern, super::normalise(module)));
            }
        }
        table
    }

    /// The modules whose patterns match `alias`, in the order of the file, without repetition.
    #[must_use]
    pub fn modules(&self, alias: &str) -> Vec<String> {
        let alias = super::normalise(alias);
        let mut found: Vec<String> = Vec::new();
        for length in (0..=alias.len()).filter(|length| alias.is_char_boundary(*length)) {
            for (pattern, module) in self.by_prefix.get(&alias[..length]).into_iter().flatten() {
                if !found.contains(module) && matches(pattern.as_bytes(), alias.as_bytes()) {
                    found.push(module.clone());
                }
            }
        }
        found
    }
}

/// Whether the text before the first wildcard of a line's pattern, as depmod writes lines, allows a match. Almost every line is
/// refused at the first byte that differs, without being split into words.
fn may_match(line: &str, alias: &str) -> bool {
    let pattern = line.strip_prefix("alias ").unwrap_or_default();
    let fixed = pattern
        .bytes()
        .take_while(|c| !matches!(c, b'*' | b'?' | b'[' | b' '));
    let underscore = |c| if c == b'-' { b'_' } else { c };
    let mut rest = alias.bytes();
    !pattern.is_empty()
        && fixed
            .map(underscore)
            .all(|c| rest.next().map(underscore) == Some(c))
}

/// `-` and `_` are the same, except within brackets, where `-` is a range.
fn normalise_pattern(pattern: &str) -> String {
    if !pattern.contains('-') {
        return pattern.to_owned();
    }
    let mut in_brackets = false;
    pattern
        .chars()
        .map(|c| {
            match c {
                '[' => in_brackets = true,
                ']' => in_brackets = false,
                '-' if !in_brackets => return '_',
                _ => {}
            }
            c
        })
        .collect()
}

/// fnmatch(3) without flags: `*`, `?` and `[…]`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go back to: after the last star, with one more character swallowed by it.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], text[t]),
            Some(c) if *c == text[t] => Some(1),
            _ => None,
        };
        match (step, back) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((after_star, from))) => {
                p = after_star;
                t = from + 1;
                back = Some((after_star, from + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The length of the bracket expression at the start of `pattern` when it contains `c`.
fn class(pattern: &[u8], c: u8) -> Option<usize> {
    let end = pattern.iter().position(|b| *b == b']')?;
    let inner = &pattern[1..end];
    let (negated, set) = match inner.first() {
        Some(b'!' | b'^') => (true, &inner[1..]),
        _ => (false, inner),
    };
    let mut found = false;
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == b'-' {
            found |= (set[at]..=set[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= set[at] == c;
            at += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_find_their_drivers() {
        let text = "# Aliases extracted from modules themselves.\n\
             alias pci:v00001AF4d00001000sv*sd*bc*sc*i* virtio_pci\n\
             alias pci:v*d*sv*sd*bc01sc06i01* ahci\n\
             alias pci:v00008086d00002922sv*sd*bc01sc06i01* ahci_intel\n\
             alias virtio:d00000002v* virtio-blk\n\
             alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb-storage\n\
             alias usb:v0781p5[0-9a-f]8*d* quirk\n\
             alias fs-iso9660 isofs\n\
             alias scsi:t-0x00* sd_mod\n\
             alias acpi*:PNP0C0A:* battery\n\
             alias net-pf-16-proto-4 inet_diag\n";
        let table = Aliases::Table(AliasTable::parse(text));
        let text = Aliases::Text(text.to_owned());
        let cases: [(&str, &[&str]); 12] = [
            (
                "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00",
                &["virtio_pci"],
            ),
            (
                "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
                &["ahci", "ahci_intel"],
            ),
            ("virtio:d00000002v00001AF4", &["virtio_blk"]),
            (
                "usb:v0781p5583d0100dc00dsc00dp00ic08isc06ip50in00",
                &["usb_storage", "quirk"],
            ),
            ("usb:v0781p5g83d0100dc00dsc00dp00ic03isc06ip50in00", &[]),
            ("fs-iso9660", &["isofs"]),
            ("scsi:t-0x00", &["sd_mod"]),
            ("acpi:PNP0C0A:", &["battery"]),
            ("net_pf-16-proto-4", &["inet_diag"]),
            ("net-pf-16-proto-41", &[]),
            ("net-pf-16", &[]),
            ("", &[]),
        ];
        for (alias, want) in cases {
            assert_eq!(table.modules(alias), want, "{alias} in the table");
            assert_eq!(text.modules(alias), want, "{alias} in the text");
        }
    }

    #[test]
    fn wildcards() {
        for (pattern, text, want) in [
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyybz", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[!a]b", "cb", true),
            ("[!a]b", "ab", false),
            ("[ab", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                want,
                "{pattern} {text}"
            );
        }
    }
}
