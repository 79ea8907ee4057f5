//! The table that says what each part costs.

use std::fmt::Write;

/// What the release may cost at most, and what it should cost, in bytes.
const LIMITS: &[(&str, u64, u64)] = &[
    ("with Docker", 110_000_000, 95_000_000),
    ("without Docker", 40_000_000, 35_000_000),
];

/// One part of the image.
#[derive(Debug, Clone)]
pub struct Part {
    /// The file that it is in.
    pub file: &'static str,
    /// What it is.
    pub name: String,
    /// Bytes when unpacked.
    pub raw: u64,
    /// Bytes that it adds to the file.
    pub packed: u64,
}

/// All parts.
#[derive(Debug, Default)]
pub struct Sizes {
    /// In the order in which they are shown.
    pub parts: Vec<Part>,
    /// What no total counts: images that the user may load.
    pub optional: Vec<Part>,
    /// Packed for speed: the limits are those of a release.
    pub quick: bool,
}

impl Sizes {
    /// Adds a part.
    pub fn add(&mut self, file: &'static str, name: impl Into<String>, raw: u64, packed: u64) {
        self.parts.push(Part {
            file,
            name: name.into(),
            raw,
            packed,
        });
    }

    /// Adds an image that is not part of the system.
    pub fn add_optional(&mut self, name: impl Into<String>, raw: u64, packed: u64) {
        self.optional.push(Part {
            file: "optional",
            name: name.into(),
            raw,
            packed,
        });
    }

    fn total(&self, without: &str) -> (u64, u64) {
        let parts = self.parts.iter().filter(|part| part.name != without);
        parts.fold((0, 0), |sum, part| (sum.0 + part.raw, sum.1 + part.packed))
    }

    /// A table for the terminal, with the limits.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<14} {:<22} {:>10} {:>10}\n",
            "file", "part", "raw MB", "packed MB"
        );
        for part in &self.parts {
            text += &part.text();
        }
        for (name, total, limit, goal) in self.totals() {
            let verdict = self.verdict(total.1, limit, goal);
            let _ = writeln!(
                text,
                "{:<14} {name:<22} {:>10} {:>10}  {verdict}",
                "total",
                mb(total.0),
                mb(total.1)
            );
        }
        for part in &self.optional {
            text += &part.text();
        }
        text
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| file | part | raw MB | packed MB |\n|---|---|---:|---:|\n");
        for part in &self.parts {
            text += &part.markdown();
        }
        for (name, total, limit, goal) in self.totals() {
            let verdict = self.verdict(total.1, limit, goal);
            let _ = writeln!(
                text,
                "| **total** | {name} ({verdict}) | {} | {} |",
                mb(total.0),
                mb(total.1)
            );
        }
        for part in &self.optional {
            text += &part.markdown();
        }
        text
    }

    fn verdict(&self, total: u64, limit: u64, goal: u64) -> String {
        match total {
            _ if self.quick => "packed quickly: no limit".to_owned(),
            _ if total <= goal => format!("goal of {} reached", mb(goal)),
            _ if total <= limit => format!("within the limit of {}, goal {}", mb(limit), mb(goal)),
            _ => format!("ABOVE the limit of {}", mb(limit)),
        }
    }

    fn totals(&self) -> impl Iterator<Item = (&'static str, (u64, u64), u64, u64)> + '_ {
        LIMITS.iter().map(|(name, limit, goal)| {
            let without = if *name == "without Docker" {
                "layer docker"
            } else {
                ""
            };
            (*name, self.total(without), *limit, *goal)
        })
    }
}

impl Part {
    fn text(&self) -> String {
        format!(
            "{:<14} {:<22} {:>10} {:>10}\n",
            self.file,
            self.name,
            mb(self.raw),
            mb(self.packed)
        )
    }

    fn markdown(&self) -> String {
        format!(
            "| {} | {} | {} | {} |\n",
            self.file,
            self.name,
            mb(self.raw),
            mb(self.packed)
        )
    }
}

/// Millions of bytes with one decimal.
fn mb(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_leave_out_what_they_say_and_optional_images() {
        let mut sizes = Sizes::default();
        sizes.add("vmlinuz", "kernel", 12_200_000, 12_200_000);
        sizes.add("system.erofs", "layer docker", 180_000_000, 95_850_000);
        sizes.add_optional("docker-compose", 140_000_000, 31_000_000);
        let expected = "\
file           part                       raw MB  packed MB
vmlinuz        kernel                       12.2       12.2
system.erofs   layer docker                180.0       95.8
total          with Docker                 192.2      108.0  within the limit of 110.0, goal 95.0
total          without Docker               12.2       12.2  goal of 35.0 reached
optional       docker-compose              140.0       31.0
";
        assert_eq!(sizes.text(), expected);
        sizes.quick = true;
        let total = "total          without Docker               12.2       12.2  packed quickly: no limit\n";
        assert!(sizes.text().contains(total), "{}", sizes.text());
    }
}
