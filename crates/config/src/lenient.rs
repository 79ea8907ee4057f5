//! Deserializers for values that people write in several ways (inventory B8-009).
//!
//! Use them as `#[serde(default, deserialize_with = "coracle_config::lenient::boolean")]`. An absent value and null give the default.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// `true`, `"true"`, `yes`, `on`, `1` and their opposites.
///
/// # Errors
/// For any other value.
pub fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    optional_boolean(deserializer).map(Option::unwrap_or_default)
}

/// Like [`boolean`], and tells an absent value (or null) from `false`.
///
/// # Errors
/// For a value that is no boolean.
pub fn optional_boolean<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<bool>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    as_bool(&value)
        .map_err(|()| D::Error::custom(format!("{value} is not a boolean, write true or false")))
}

fn as_bool(value: &Value) -> Result<Option<bool>, ()> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(b) => *b,
        Value::Number(n) if n.as_u64() == Some(0) => false,
        Value::Number(n) if n.as_u64() == Some(1) => true,
        Value::String(s) => match s.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "y" => true,
            "false" | "no" | "off" | "0" | "n" => false,
            _ => return Err(()),
        },
        _ => return Err(()),
    }))
}

/// Text; numbers and booleans become the text that they were written as.
///
/// # Errors
/// For lists and maps.
pub fn optional_string<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match value {
        Value::Null => Ok(None),
        value => scalar_text(&value)
            .map(Some)
            .ok_or_else(|| D::Error::custom(format!("{value} is not text"))),
    }
}

/// Like [`optional_string`]; an absent value is empty.
///
/// # Errors
/// For lists and maps.
pub fn string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    optional_string(deserializer).map(Option::unwrap_or_default)
}

/// A whole number, also written as text.
///
/// # Errors
/// For anything else, and for numbers below zero.
pub fn optional_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match &value {
        Value::Null => return Ok(None),
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
    .map(Some)
    .ok_or_else(|| D::Error::custom(format!("{value} is not a whole number of 0 or more")))
}

/// A list of texts; a single text is a list of one.
///
/// # Errors
/// For maps and for lists that hold lists or maps.
pub fn strings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let items = match &value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items
            .iter()
            .filter(|item| !item.is_null())
            .map(scalar_text)
            .collect(),
        scalar => scalar_text(scalar).map(|text| vec![text]),
    };
    items.ok_or_else(|| D::Error::custom(format!("{value} is not a list of texts")))
}

/// A map of texts. Keys without a value are left out.
///
/// # Errors
/// When it is no map, or a value is a list or a map.
pub fn string_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let Value::Object(map) = value else {
        return if value.is_null() {
            Ok(BTreeMap::new())
        } else {
            Err(D::Error::custom(format!("{value} is not a map")))
        };
    };
    map.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| match scalar_text(&value) {
            Some(text) => Ok((key, text)),
            None => Err(D::Error::custom(format!("{key}: {value} is not text"))),
        })
        .collect()
}

/// A map of booleans, each as lenient as [`boolean`].
///
/// # Errors
/// When it is no map, or a value is no boolean.
pub fn boolean_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, bool>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let Value::Object(map) = value else {
        return if value.is_null() {
            Ok(BTreeMap::new())
        } else {
            Err(D::Error::custom(format!("{value} is not a map")))
        };
    };
    map.into_iter()
        .map(|(key, value)| match as_bool(&value) {
            Ok(flag) => Ok((key, flag.unwrap_or_default())),
            Err(()) => Err(D::Error::custom(format!(
                "{key}: {value} is not a boolean, write true or false"
            ))),
        })
        .collect()
}

/// Null as the default of the type: a map or list whose last line was removed.
///
/// # Errors
/// Those of the type itself.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The text of a scalar; none for lists, maps and null.
#[must_use]
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn booleans_in_all_their_spellings() {
        for (value, want) in [
            (json!(true), Ok(true)),
            (json!("true"), Ok(true)),
            (json!("Yes"), Ok(true)),
            (json!("on"), Ok(true)),
            (json!(1), Ok(true)),
            (json!(null), Ok(false)),
            (json!("off"), Ok(false)),
            (json!(0), Ok(false)),
            (
                json!("maybe"),
                Err("\"maybe\" is not a boolean, write true or false"),
            ),
            (
                json!([true]),
                Err("[true] is not a boolean, write true or false"),
            ),
        ] {
            assert_eq!(
                boolean(value.clone()).map_err(|e| e.to_string()),
                want.map_err(str::to_owned),
                "{value}"
            );
        }
    }

    #[test]
    fn lists_of_one_and_of_many() {
        for (value, want) in [
            (json!("a"), Ok(vec!["a"])),
            (json!(["a", 5, true]), Ok(vec!["a", "5", "true"])),
            (json!(null), Ok(vec![])),
            (json!([["a"]]), Err("[[\"a\"]] is not a list of texts")),
        ] {
            let want = want.map(|items| items.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(
                strings(value.clone()).map_err(|e| e.to_string()),
                want.map_err(str::to_owned),
                "{value}"
            );
        }
    }

    #[test]
    fn numbers_as_text() {
        assert_eq!(optional_number(json!("60")).unwrap(), Some(60));
        assert_eq!(optional_number(json!(60)).unwrap(), Some(60));
        assert!(optional_number(json!(-1)).is_err());
        assert!(optional_number(json!("soon")).is_err());
    }
}
