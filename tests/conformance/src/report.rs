//! What the run found.

use crate::compare::Verdict;

/// The findings of a run, which are also printed as they come.
#[derive(Debug, Default)]
pub struct Report {
    counts: [usize; 5],
    on_reference: usize,
    skipped: usize,
    lines: Vec<String>,
}

const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::Same, "the same"),
    (Verdict::Inapplicable, "applicable to neither"),
    (Verdict::Known, "known differences"),
    (Verdict::Different, "DIFFERENT"),
    (Verdict::Stale, "STALE in known-differences.yml"),
];

impl Report {
    /// Counts a test or command; `detail` is shown when it decides the run.
    pub fn add(&mut self, name: &str, verdict: Verdict, detail: &str) {
        for (at, (candidate, title)) in VERDICTS.iter().enumerate() {
            if *candidate != verdict {
                continue;
            }
            self.counts[at] += 1;
            if matches!(verdict, Verdict::Different | Verdict::Stale) {
                println!("{title}: {name}\n{}", indented(detail));
                self.lines.push(format!("{title}: {name}"));
            }
        }
        self.on_reference += usize::from(!matches!(verdict, Verdict::Inapplicable));
    }

    /// Counts something that could not be run.
    pub fn skip(&mut self, why: &str) {
        println!("SKIPPED: {why}");
        self.skipped += 1;
    }

    /// Whether nothing is different but what is known.
    pub fn is_conformant(&self) -> bool {
        self.lines.is_empty()
    }

    /// Prints what decides the run, and the counts.
    pub fn print(&self) {
        println!();
        for line in &self.lines {
            println!("{line}");
        }
        let counts: Vec<String> = VERDICTS
            .iter()
            .zip(self.counts)
            .map(|((_, title), count)| format!("{count} {title}"))
            .collect();
        println!("{}, {} skipped", counts.join(", "), self.skipped);
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_and_a_stale_entry_fail_the_run_and_nothing_else_does() {
        for (verdict, title) in VERDICTS {
            let mut report = Report::default();
            report.add("test", verdict, "detail");
            let decides = matches!(verdict, Verdict::Different | Verdict::Stale);
            assert_eq!(report.is_conformant(), !decides, "{title}");
        }
    }
}
