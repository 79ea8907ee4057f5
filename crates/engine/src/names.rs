//! Names of containers: the rule for given ones and the generator of `adjective_noun` for the others.

use crate::id;

const ADJECTIVES: &[&str] = &[
    "able", "agile", "amber", "ample", "apt", "arctic", "balmy", "bold", "brave", "breezy",
    "bright", "brisk", "calm", "candid", "clear", "clever", "coastal", "cosy", "crisp", "curious",
    "daring", "deft", "eager", "early", "fair", "fleet", "fond", "frank", "fresh", "gentle",
    "glad", "golden", "grand", "handy", "happy", "hardy", "honest", "jolly", "keen", "kind",
    "lively", "loyal", "lucid", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble",
    "patient", "plucky", "polite", "proud", "quick", "quiet", "ready", "robust", "salty", "serene",
    "sharp", "silver", "smart", "snug", "sober", "spry", "steady", "sturdy", "sunny", "swift",
    "tidal", "tidy", "trusty", "upbeat", "vivid", "warm", "wise", "witty", "young", "zesty",
];

/// People who crossed or charted water, and people who built what we compute with.
const NOUNS: &[&str] = &[
    "amundsen",
    "anning",
    "babbage",
    "barents",
    "bering",
    "bougainville",
    "brunel",
    "cabot",
    "champlain",
    "church",
    "columba",
    "cook",
    "cousteau",
    "curie",
    "darwin",
    "davis",
    "diaz",
    "dijkstra",
    "drake",
    "earhart",
    "earle",
    "erikson",
    "euler",
    "faraday",
    "fitzroy",
    "flinders",
    "franklin",
    "frobisher",
    "fulton",
    "gama",
    "gauss",
    "godel",
    "hamilton",
    "harrison",
    "henry",
    "heyerdahl",
    "hooke",
    "hopper",
    "hudson",
    "humboldt",
    "hypatia",
    "kepler",
    "knuth",
    "lamarr",
    "lamport",
    "laperouse",
    "lovelace",
    "magellan",
    "mawson",
    "maury",
    "mercator",
    "moitessier",
    "nansen",
    "newton",
    "noether",
    "perry",
    "piccard",
    "ptolemy",
    "pytheas",
    "ritchie",
    "ross",
    "scott",
    "severin",
    "shackleton",
    "slocum",
    "somerville",
    "tasman",
    "tharp",
    "thompson",
    "tinkerbell",
    "torvalds",
    "turing",
    "vancouver",
    "verrazzano",
    "vespucci",
    "weddell",
    "wilkes",
    "worsley",
    "zhenghe",
    "zuse",
];

/// A name that `taken` does not know, without the leading slash. After some tries a number is appended.
pub fn generate(taken: impl Fn(&str) -> bool) -> String {
    loop {
        for retry in 0..6 {
            let [a, b, c, d] = id::random::<4>();
            let adjective = ADJECTIVES[usize::from(u16::from_le_bytes([a, b])) % ADJECTIVES.len()];
            let noun = NOUNS[usize::from(u16::from_le_bytes([c, d])) % NOUNS.len()];
            let name = match retry {
                0 => format!("{adjective}_{noun}"),
                _ => format!("{adjective}_{noun}{}", (a ^ b ^ c ^ d) % 10 * retry),
            };
            if !taken(&name) {
                return name;
            }
        }
    }
}

/// Docker's rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, an optional slash before it.
pub fn valid(name: &str) -> bool {
    let name = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = name.bytes();
    name.len() >= 2
        && bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_valid_and_avoid_taken_ones() {
        let first = generate(|_| false);
        assert!(valid(&first), "{first}");
        assert!(first.contains('_'));
        assert_ne!(generate(|name| name == first), first);
    }

    #[test]
    fn given_names_follow_dockers_rule() {
        for (name, expected) in [
            ("web", true),
            ("/web", true),
            ("a_b.c-1", true),
            ("w", false),
            ("", false),
            ("-web", false),
            ("we/b", false),
            ("wéb", false),
        ] {
            assert_eq!(valid(name), expected, "{name}");
        }
    }
}
