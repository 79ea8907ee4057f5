//! What two outcomes of one test say about System Docker.

use std::collections::BTreeMap;

/// How a test ended on one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It was not run, or is expected to fail.
    Skipped,
    /// It failed, for this reason.
    Failed(String),
}

/// How a test ended on both, judged by the list of known differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes on System Docker.
    Same,
    /// It passes on neither: the test needs what this place does not have.
    Inapplicable,
    /// It passes on dockerd only, and the list says why.
    Known,
    /// It passes on dockerd only.
    Different,
    /// The list says that it fails, and it passes.
    Stale,
}

/// Judges a test; `known` is whether the list has it.
pub fn judge(reference: &Outcome, ours: &Outcome, known: bool) -> Verdict {
    match (reference, ours) {
        (_, Outcome::Passed) if known => Verdict::Stale,
        (_, Outcome::Passed) => Verdict::Same,
        (Outcome::Passed, _) if known => Verdict::Known,
        (Outcome::Passed, _) => Verdict::Different,
        _ => Verdict::Inapplicable,
    }
}

/// Every test that ran on one of the engines, with its outcomes on dockerd and on System Docker; what did not run is skipped.
pub fn pair<'a>(
    reference: &'a BTreeMap<String, Outcome>,
    ours: &'a BTreeMap<String, Outcome>,
) -> BTreeMap<&'a str, (&'a Outcome, &'a Outcome)> {
    let mut pairs = BTreeMap::new();
    for name in reference.keys().chain(ours.keys()) {
        let outcome = |of: &'a BTreeMap<String, Outcome>| of.get(name).unwrap_or(&Outcome::Skipped);
        pairs.insert(name.as_str(), (outcome(reference), outcome(ours)));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_on_dockerd_alone_is_a_difference() {
        use Outcome::{Passed, Skipped};
        use Verdict::{Different, Inapplicable, Known, Same, Stale};
        let failed = Outcome::Failed("why".to_owned());
        for (reference, ours, known, expected) in [
            (&Passed, &Passed, false, Same),
            (&Passed, &Passed, true, Stale),
            (&Passed, &failed, false, Different),
            (&Passed, &failed, true, Known),
            (&Passed, &Skipped, false, Different),
            (&failed, &Passed, false, Same),
            (&failed, &Passed, true, Stale),
            (&failed, &failed, false, Inapplicable),
            (&failed, &failed, true, Inapplicable),
            (&Skipped, &Skipped, false, Inapplicable),
        ] {
            assert_eq!(
                judge(reference, ours, known),
                expected,
                "{reference:?} {ours:?} {known}"
            );
        }
    }

    #[test]
    fn a_test_that_did_not_run_on_one_engine_was_skipped_there() {
        let reference = BTreeMap::from([("a".to_owned(), Outcome::Passed)]);
        let ours = BTreeMap::from([("b".to_owned(), Outcome::Passed)]);
        let pairs: Vec<_> = pair(&reference, &ours).into_iter().collect();
        assert_eq!(
            pairs,
            [
                ("a", (&Outcome::Passed, &Outcome::Skipped)),
                ("b", (&Outcome::Skipped, &Outcome::Passed)),
            ]
        );
    }
}
