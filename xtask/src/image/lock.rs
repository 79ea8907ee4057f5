//! The list of Debian packages that went into an image, and how it differs from the one in the checkout.

use std::collections::BTreeMap;
use std::fmt::Write;

use coracle_toolbox::Package;

const HEADER: &str = "# Debian packages in the image: suite, name, version, SHA-256. Written by `cargo xtask image --lock`.\n";

/// What identifies a package: suite and name.
type Name<'a> = (&'a str, &'a str);

/// The list as text.
pub fn render(packages: &[&Package]) -> String {
    let mut lines: Vec<String> = packages
        .iter()
        .map(|package| {
            format!(
                "{} {} {} {}\n",
                package.suite.name(),
                package.name,
                package.version,
                package.sha256
            )
        })
        .collect();
    lines.sort();
    HEADER.to_owned() + &lines.concat()
}

/// One line for each package that came, went, or has another version or content; empty when the lists agree.
pub fn difference(old: &str, new: &str) -> String {
    let (old, new) = (parse(old), parse(new));
    let mut text = String::new();
    for (name, (version, sha256)) in &new {
        let line = match old.get(name) {
            None => format!("{} {version} is new", name.1),
            Some((before, _)) if before != version => format!("{} {before} → {version}", name.1),
            Some((_, before)) if before != sha256 => {
                format!("{} {version} has other content", name.1)
            }
            Some(_) => continue,
        };
        let _ = writeln!(text, "  {line} ({})", name.0);
    }
    for (name, (version, _)) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        let _ = writeln!(text, "  {} {version} is gone ({})", name.1, name.0);
    }
    text
}

fn parse(text: &str) -> BTreeMap<Name<'_>, (&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((
                (words.next()?, words.next()?),
                (words.next()?, words.next()?),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_changed() {
        let old = "# list\ntrixie a 1 aa\ntrixie b 1 bb\ntrixie c 1 cc\nforky d 1 dd\n";
        let new = "trixie a 1 aa\ntrixie b 2 b2\ntrixie c 1 c1\ntrixie d 1 dd\n";
        let expected = "  b 1 → 2 (trixie)\n  c 1 has other content (trixie)\n  d 1 is new (trixie)\n  d 1 is gone (forky)\n";
        assert_eq!(difference(old, new), expected);
        assert_eq!(difference(old, old), "");
    }
}
