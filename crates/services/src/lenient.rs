//! Reading compose values the lenient way upstream does (inventory B8-009): a boolean may be written as text, a list may be a
//! single scalar, a map may be a list of `KEY=VALUE`.
//!
//! Every reader returns the reason as text when the value does not fit; the caller knows service and key and adds them.

use serde_json::Value;

/// What a value turned out to be, or why it does not fit.
pub(crate) type Read<T> = Result<T, String>;

/// Text; numbers and booleans are taken by their YAML spelling.
pub(crate) fn text(value: &Value) -> Read<String> {
    match value {
        Value::String(s) => Ok(s.clone()),
        Value::Number(n) => Ok(n.to_string()),
        Value::Bool(b) => Ok(b.to_string()),
        _ => Err(format!("expected text, found {}", kind(value))),
    }
}

/// A boolean, also as YAML 1.1 text in any case.
pub(crate) fn flag(value: &Value) -> Read<bool> {
    let word = match value {
        Value::Bool(b) => return Ok(*b),
        Value::String(s) => s.trim().to_ascii_lowercase(),
        _ => return Err(format!("expected true or false, found {}", kind(value))),
    };
    match word.as_str() {
        "true" | "yes" | "on" | "1" | "y" => Ok(true),
        "false" | "no" | "off" | "0" | "n" | "" => Ok(false),
        _ => Err(format!("expected true or false, found '{word}'")),
    }
}

/// A whole number, also as text.
pub(crate) fn integer(value: &Value) -> Read<i64> {
    match value {
        Value::Number(n) => n
            .as_i64()
            .ok_or_else(|| format!("'{n}' is not a whole number")),
        Value::String(s) => s
            .trim()
            .parse()
            .map_err(|_| format!("'{s}' is not a whole number")),
        _ => Err(format!("expected a whole number, found {}", kind(value))),
    }
}

/// A size in bytes: a number, or text with a suffix b, k, m, g or t (powers of 1024), as in `docker run --memory`.
pub(crate) fn bytes(value: &Value) -> Read<i64> {
    let Value::String(written) = value else {
        return integer(value);
    };
    let bad = || format!("'{written}' is not a size such as 512m or 1g");
    let lower = written.trim().to_ascii_lowercase();
    // "64mb" and "64mib" are spelt by people although the short form is the documented one.
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: i64 = match lower[digits.len()..]
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(bad()),
    };
    let number: i64 = digits.trim().parse().map_err(|_| bad())?;
    number.checked_mul(factor).ok_or_else(bad)
}

/// A list of texts; a single scalar is a list of one, null is empty.
pub(crate) fn list(value: &Value) -> Read<Vec<String>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Object(_) => Err("expected a list, found a map".into()),
        scalar => text(scalar).map(|s| vec![s]),
    }
}

/// `KEY: VALUE` pairs in order, from a map or from a list of `KEY=VALUE`. A key without value gives `None`.
pub(crate) fn pairs(value: &Value) -> Read<Vec<(String, Option<String>)>> {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::Null => Ok((key.clone(), None)),
                value => text(value)
                    .map(|v| (key.clone(), Some(v)))
                    .map_err(|why| format!("{key}: {why}")),
            })
            .collect(),
        value => Ok(list(value)?
            .into_iter()
            .map(|entry| match entry.split_once('=') {
                Some((key, value)) => (key.to_string(), Some(value.to_string())),
                None => (entry, None),
            })
            .collect()),
    }
}

/// A command: a list is taken as it is, text is split into words as sh does. Null and empty mean "the image's own".
pub(crate) fn words(value: &Value) -> Read<Option<Vec<String>>> {
    let words = match value {
        Value::String(line) => shlex::split(line)
            .ok_or_else(|| format!("'{line}' has an unclosed quote or ends in a backslash"))?,
        value => list(value)?,
    };
    Ok((!words.is_empty()).then_some(words))
}

/// What to call a value in a message.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn booleans_may_be_text() {
        let table = [
            (json!(true), Ok(true)),
            (json!("true"), Ok(true)),
            (json!("False"), Ok(false)),
            (json!("yes"), Ok(true)),
            (json!(""), Ok(false)),
            (
                json!("maybe"),
                Err("expected true or false, found 'maybe'".to_string()),
            ),
            (
                json!([]),
                Err("expected true or false, found a list".to_string()),
            ),
        ];
        for (value, want) in table {
            assert_eq!(flag(&value), want, "{value}");
        }
    }

    #[test]
    fn sizes_have_suffixes() {
        let table = [
            (json!(1024), Ok(1024)),
            (json!("1024"), Ok(1024)),
            (json!("64m"), Ok(64 << 20)),
            (json!("64MB"), Ok(64 << 20)),
            (json!("1GiB"), Ok(1 << 30)),
            (json!("-1"), Ok(-1)),
            (
                json!("lots"),
                Err("'lots' is not a size such as 512m or 1g".to_string()),
            ),
            (
                json!("9999999999g"),
                Err("'9999999999g' is not a size such as 512m or 1g".to_string()),
            ),
        ];
        for (value, want) in table {
            assert_eq!(bytes(&value), want, "{value}");
        }
    }

    #[test]
    fn pairs_come_from_maps_and_lists() {
        let want = Ok(vec![
            ("A".to_string(), Some("1".to_string())),
            ("B".to_string(), None),
            ("C".to_string(), Some("x=y".to_string())),
        ]);
        assert_eq!(pairs(&json!(["A=1", "B", "C=x=y"])), want);
        assert_eq!(pairs(&json!({"A": 1, "B": null, "C": "x=y"})), want);
        assert_eq!(
            pairs(&json!({"A": []})),
            Err("A: expected text, found a list".to_string())
        );
    }

    #[test]
    fn commands_split_like_sh() {
        let table = [
            (json!("sh -c 'a b'"), Ok(Some(vec!["sh", "-c", "a b"]))),
            (
                json!(["sh", "-c", "a b"]),
                Ok(Some(vec!["sh", "-c", "a b"])),
            ),
            (json!(""), Ok(None)),
            (json!(null), Ok(None)),
            (
                json!("a 'b"),
                Err("'a 'b' has an unclosed quote or ends in a backslash".to_string()),
            ),
        ];
        for (value, want) in table {
            let want = want.map(|w| w.map(|w| w.into_iter().map(String::from).collect::<Vec<_>>()));
            assert_eq!(words(&value), want, "{value}");
        }
    }
}
