//! `WWW-Authenticate` (RFC 9110, 11.6.1): how a registry wants to be asked.

/// One challenge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    /// In lower case: `basic`, `bearer`.
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter's value, if it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

/// The challenges of one header. What does not follow the grammar ends the list.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return challenges;
        }
        let after = after.trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let Some(challenge) = challenges.last_mut() else {
                return challenges;
            };
            let Some((value, after)) = parameter(value.trim_start()) else {
                return challenges;
            };
            challenge
                .parameters
                .push((word.to_ascii_lowercase(), value));
            rest = after;
        } else {
            challenges.push(Challenge {
                scheme: word.to_ascii_lowercase(),
                parameters: Vec::new(),
            });
            rest = after;
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A token or a quoted string, and what follows it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> String {
        let show = |challenge: &Challenge| {
            let parameters: Vec<_> = challenge
                .parameters
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("{}({})", challenge.scheme, parameters.join(";"))
        };
        parse(header).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn challenges_are_read() {
        for (header, expected) in [
            (r#"Basic realm="a b""#, "basic(realm=a b)"),
            (
                r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push""#,
                "bearer(realm=https://auth.example/token;service=reg;scope=repository:a/b:pull,push)",
            ),
            (
                r#"BEARER Realm = "x" , error=invalid_token"#,
                "bearer(realm=x;error=invalid_token)",
            ),
            (
                r#"Bearer realm="a\"b", Basic realm="c""#,
                r#"bearer(realm=a"b) basic(realm=c)"#,
            ),
            ("Negotiate, Basic", "negotiate() basic()"),
            (r#"Bearer realm="cut"#, "bearer()"),
            ("", ""),
            ("=x", ""),
        ] {
            assert_eq!(shown(header), expected, "{header}");
        }
    }
}
