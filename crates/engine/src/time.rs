//! Times as Docker prints them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Go's zero time, which Docker gives for "never".
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// Now, in RFC 3339 with as many digits of a second as are not zero (Go's `RFC3339Nano`).
pub fn now() -> String {
    format(Timestamp::now())
}

/// `time` as Go's `RFC3339Nano`.
pub fn format(time: Timestamp) -> String {
    time.to_string()
}

/// `time` with always nine digits (what `docker logs -t` shows).
pub fn format_fixed(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// Parses what [`format`] wrote; [`NEVER`] and anything else give `None`.
pub fn parse(text: &str) -> Option<Timestamp> {
    if text == NEVER {
        return None;
    }
    text.parse().ok()
}

/// Times in JSON, as [`format`] writes them.
pub(crate) mod text {
    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format(*time))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        super::parse(&text).ok_or_else(|| D::Error::custom(format!("no time: {text}")))
    }
}

/// A time given by a client (`since`, `until`): seconds since 1970 with an optional fraction, RFC 3339, or a date with
/// or without a time of day, in UTC.
pub fn parse_query(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let Ok(whole) = seconds.parse::<i64>() else {
        let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
        let civil = || civil().map(|zoned| zoned.timestamp());
        return text.parse().ok().or_else(civil);
    };
    let digits: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(9)
        .collect();
    let nanoseconds: i32 = digits.parse().ok()?;
    Timestamp::new(whole, if whole < 0 { -nanoseconds } else { nanoseconds }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        let time = Timestamp::new(1_700_000_000, 120_000_000).unwrap();
        assert_eq!(format(time), "2023-11-14T22:13:20.12Z");
        assert_eq!(format_fixed(time), "2023-11-14T22:13:20.120000000Z");
        assert_eq!(parse("2023-11-14T22:13:20.12Z"), Some(time));
        assert_eq!(parse(NEVER), None);
    }

    #[test]
    fn query_times_are_seconds_or_rfc_3339() {
        let time = Timestamp::new(1_700_000_000, 120_000_000).unwrap();
        for text in [
            "1700000000.12",
            "1700000000.120000000",
            "2023-11-14T22:13:20.12Z",
        ] {
            assert_eq!(parse_query(text), Some(time), "{text}");
        }
        for (text, seconds) in [
            ("2023-11-14T22:13:20", 1_700_000_000),
            ("2023-11-14T22:13", 1_699_999_980),
            ("2023-11-14", 1_699_920_000),
        ] {
            assert_eq!(parse_query(text), Timestamp::new(seconds, 0).ok(), "{text}");
        }
        assert_eq!(parse_query("yesterday"), None);
        assert_eq!(parse_query("0"), Timestamp::new(0, 0).ok());
    }
}
