//! The `filters` parameter: keys with accepted values. Values of a key are alternatives, keys must all hold.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use serde::Deserialize;

use crate::error::{Error, Result};

/// What a client wants to see.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filters {
    terms: BTreeMap<String, Vec<String>>,
}

/// The two forms that clients send.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    /// Since API 1.22; a `false` counts as given, as in Docker.
    Set(BTreeMap<String, bool>),
}

impl Filters {
    /// Parses `{"label":["a=b"]}` or `{"label":{"a=b":true}}`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(json: &str) -> Result<Self> {
        let terms: BTreeMap<String, Values> =
            serde_json::from_str(json).map_err(|_| Error::BadRequest("invalid filter".into()))?;
        let list = |values| match values {
            Values::List(list) => list,
            Values::Set(set) => set.into_keys().collect(),
        };
        Ok(Self {
            terms: terms
                .into_iter()
                .map(|(key, values)| (key, list(values)))
                .collect(),
        })
    }

    /// Refuses keys that are not in `accepted`.
    ///
    /// # Errors
    /// Docker's text.
    pub fn check(&self, accepted: &[&str]) -> Result<()> {
        match self
            .terms
            .keys()
            .find(|key| !accepted.contains(&key.as_str()))
        {
            Some(key) => Err(Error::BadRequest(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }

    /// Whether `key` is given.
    pub fn has(&self, key: &str) -> bool {
        !self.get(key).is_empty()
    }

    /// The values of `key`.
    pub fn get(&self, key: &str) -> &[String] {
        self.terms.get(key).map_or(&[], Vec::as_slice)
    }

    /// All keys with their values.
    pub fn into_terms(self) -> BTreeMap<String, Vec<String>> {
        self.terms
    }

    /// Whether `key` is absent or one of its values fulfils `test`.
    pub fn any(&self, key: &str, test: impl FnMut(&str) -> bool) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().map(String::as_str).any(test)
    }

    /// Whether `key` is absent or one of its values is `text`.
    pub fn is(&self, key: &str, text: &str) -> bool {
        self.any(key, |value| value == text)
    }

    /// Whether `key` is absent or one of its values is `text`, or a regular expression that fits it.
    pub fn fits(&self, key: &str, text: &str) -> bool {
        self.any(key, |value| {
            value == text || Regex::new(value).is_ok_and(|regex| regex.is_match(text))
        })
    }

    /// Whether all values of `key` (`name` or `name=value`) are among `labels`.
    pub fn has_labels(&self, key: &str, labels: &HashMap<String, String>) -> bool {
        self.get(key).iter().all(|term| is_labelled(term, labels))
    }

    /// Whether none of the values of `key` is among `labels` (`label!` of the prune calls).
    pub fn lacks_labels(&self, key: &str, labels: &HashMap<String, String>) -> bool {
        !self.get(key).iter().any(|term| is_labelled(term, labels))
    }

    /// A key that says yes or no.
    ///
    /// # Errors
    /// Docker's text when it says neither, or both.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        let values = self.get(key);
        let yes = values
            .iter()
            .any(|value| matches!(value.as_str(), "1" | "true"));
        let no = values
            .iter()
            .any(|value| matches!(value.as_str(), "0" | "false"));
        match (values.is_empty(), yes, no) {
            (true, ..) => Ok(None),
            (_, true, false) => Ok(Some(true)),
            (_, false, true) => Ok(Some(false)),
            _ => Err(Error::BadRequest(format!(
                "invalid filter '{key}=[{}]'",
                values.join(" ")
            ))),
        }
    }
}

fn is_labelled(term: &str, labels: &HashMap<String, String>) -> bool {
    match term.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
        None => labels.contains_key(term),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_mean_the_same() {
        let list = Filters::parse(r#"{"label":["a=b","c"],"status":["running"]}"#).unwrap();
        let set =
            Filters::parse(r#"{"label":{"a=b":true,"c":true},"status":{"running":true}}"#).unwrap();
        assert_eq!(list, set);
        assert_eq!(list.get("label"), ["a=b", "c"]);
        for wrong in ["", "[]", "{\"label\":\"a\"}", "{\"label\":{\"a\":1}}"] {
            let error = Filters::parse(wrong).unwrap_err().to_string();
            assert_eq!(error, "invalid filter", "{wrong}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let filters = Filters::parse(r#"{"nme":["x"]}"#).unwrap();
        assert_eq!(
            filters.check(&["name"]).unwrap_err().to_string(),
            "invalid filter 'nme'"
        );
        assert!(filters.check(&["name", "nme"]).is_ok());
    }

    #[test]
    fn values_are_alternatives_and_labels_are_conditions() {
        let filters = Filters::parse(
            r#"{"status":["running","paused"],"name":["^web$","d["],"label":["a=b","c"],"label!":["x","y=z"]}"#,
        )
        .unwrap();
        assert!(
            filters.is("status", "paused")
                && !filters.is("status", "exited")
                && filters.is("other", "x")
        );
        assert!(filters.fits("name", "web") && !filters.fits("name", "web2"));
        assert!(
            filters.fits("name", "d["),
            "a bad expression is still a text"
        );
        let labels = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect()
        };
        for (pairs, all, none) in [
            (&[("a", "b"), ("c", "")][..], true, true),
            (&[("a", "b")], false, true),
            (&[("a", "z"), ("c", "")], false, true),
            (&[("a", "b"), ("c", "d"), ("y", "z")], true, false),
            (&[("y", "other")], false, true),
            (&[("x", "")], false, false),
        ] {
            assert_eq!(
                filters.has_labels("label", &labels(pairs)),
                all,
                "{pairs:?}"
            );
            assert_eq!(
                filters.lacks_labels("label!", &labels(pairs)),
                none,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn flags_say_yes_or_no() {
        for (json, expected) in [
            ("{}", Ok(None)),
            (r#"{"dangling":["1"]}"#, Ok(Some(true))),
            (r#"{"dangling":["false"]}"#, Ok(Some(false))),
            (
                r#"{"dangling":["maybe"]}"#,
                Err("invalid filter 'dangling=[maybe]'"),
            ),
            (
                r#"{"dangling":["0","1"]}"#,
                Err("invalid filter 'dangling=[0 1]'"),
            ),
        ] {
            let flag = Filters::parse(json)
                .unwrap()
                .flag("dangling")
                .map_err(|error| error.to_string());
            assert_eq!(flag, expected.map_err(str::to_owned), "{json}");
        }
    }
}
