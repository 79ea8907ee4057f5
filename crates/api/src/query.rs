//! Query parameters, read as Docker reads them.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};
use crate::filters::Filters;

/// The parameters of a request, decoded, in their order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses what follows the question mark.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self {
            pairs: pairs.collect(),
        }
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, unless it is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A switch, off when it is absent.
    pub fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// A switch: everything turns it on but nothing, `0`, `no`, `false` and `none` (Docker, `httputils.BoolValue`).
    pub fn flag_or(&self, name: &str, absent: bool) -> bool {
        self.get(name).map_or(absent, |value| {
            !matches!(
                value.trim().to_lowercase().as_str(),
                "" | "0" | "no" | "false" | "none"
            )
        })
    }

    /// A number; absent or empty is `None`.
    ///
    /// # Errors
    /// When it is no number.
    pub fn number<T>(&self, name: &str) -> Result<Option<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.text(name)
            .map(|value| {
                value.parse().map_err(|error| {
                    Error::BadRequest(format!("invalid value \"{value}\" of {name}: {error}"))
                })
            })
            .transpose()
    }

    /// A time: seconds since 1970 or RFC 3339. Absent and empty are `None`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>> {
        self.text(name)
            .map(|text| {
                coracle_engine::time::parse_query(text).ok_or_else(|| {
                    Error::BadRequest(format!(
                        "invalid value for \"{name}\": invalid time \"{text}\""
                    ))
                })
            })
            .transpose()
    }

    /// The parameter `filters`.
    ///
    /// # Errors
    /// When it is not JSON of the documented form, or has a key that is not in `accepted`.
    pub fn filters(&self, accepted: &[&str]) -> Result<Filters> {
        let filters = self
            .text("filters")
            .map_or_else(|| Ok(Filters::default()), Filters::parse)?;
        filters.check(accepted)?;
        Ok(filters)
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("a=1&b=x%20y+z%2B&a=2&&c&d=");
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.get("b"), Some("x y z+"));
        assert_eq!(
            (query.get("c"), query.text("c"), query.get("e")),
            (Some(""), None, None)
        );
    }

    #[test]
    fn switches_are_on_unless_they_say_no() {
        for (text, expected) in [
            ("", false),
            ("x", false),
            ("x=", false),
            ("x=0", false),
            ("x=False", false),
            ("x=no", false),
            ("x=none", false),
            ("x=1", true),
            ("x=true", true),
            ("x=yes", true),
            ("x=2", true),
        ] {
            assert_eq!(Query::parse(text).flag("x"), expected, "{text}");
        }
        assert!(Query::parse("").flag_or("x", true));
        assert!(!Query::parse("x=").flag_or("x", true));
    }

    #[test]
    fn numbers_may_be_absent_but_not_wrong() {
        let query = Query::parse("a=-5&b=&c=five");
        assert_eq!(query.number::<i64>("a").unwrap(), Some(-5));
        assert_eq!(query.number::<i64>("b").unwrap(), None);
        assert_eq!(
            query.number::<i64>("c").unwrap_err().to_string(),
            "invalid value \"five\" of c: invalid digit found in string"
        );
        assert!(query.number::<u32>("a").is_err());
    }

    #[test]
    fn times_are_seconds_or_dates() {
        let time = Timestamp::new(1_700_000_000, 0).ok();
        for (text, expected) in [
            ("t=1700000000", Ok(time)),
            ("t=2023-11-14T22:13:20Z", Ok(time)),
            ("t=0", Ok(Some(Timestamp::UNIX_EPOCH))),
            ("t=", Ok(None)),
            ("", Ok(None)),
            (
                "t=noon",
                Err("invalid value for \"t\": invalid time \"noon\""),
            ),
        ] {
            let found = Query::parse(text)
                .time("t")
                .map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }
}
