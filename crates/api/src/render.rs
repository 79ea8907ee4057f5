//! The engine's knowledge in the JSON of the Docker API.
//!
//! Answers are always whole objects: clients written in Go get zero values for what is left out, but others (docker-py)
//! look keys up. The models of `bollard-stubs` leave out what is not set, so they are laid over Docker's zero values
//! ([`complete`]), and tests read every rendered object back with them.

pub mod container;
pub mod defaults;
pub mod disk_usage;
pub mod duration;
pub mod event;
pub mod exec;
pub mod image;
pub mod log;
pub mod network;
pub mod path_stat;
pub mod progress;
pub mod stats;
pub mod summary;
pub mod system;
pub mod volume;

use serde::Serialize;
use serde_json::Value;

/// Lays the fields of `given` over `defaults`, which is an object. What is absent or null in `given` stays as it is.
pub fn complete(defaults: Value, given: &impl Serialize) -> Value {
    let Value::Object(mut fields) = defaults else {
        return defaults;
    };
    // The models are plain data: they always become an object.
    if let Ok(Value::Object(given)) = serde_json::to_value(given) {
        fields.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Value::Object(fields)
}

/// A map of texts with the order of its keys fixed.
pub fn sorted<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> Value {
    let mut pairs: Vec<_> = map.into_iter().collect();
    pairs.sort();
    Value::Object(
        pairs
            .into_iter()
            .map(|(key, value)| (key.clone(), value.clone().into()))
            .collect(),
    )
}

/// Seconds since 1970 of an RFC 3339 time; 0 when it is none.
pub fn unix_seconds(time: &str) -> i64 {
    coracle_engine::time::parse(time).map_or(0, jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::RestartPolicy;
    use serde_json::json;

    use super::*;

    #[test]
    fn given_fields_win_and_absent_ones_keep_their_defaults() {
        let given = RestartPolicy {
            name: None,
            maximum_retry_count: Some(3),
        };
        let whole = complete(json!({"Name": "no", "MaximumRetryCount": 0}), &given);
        assert_eq!(whole, json!({"Name": "no", "MaximumRetryCount": 3}));
    }

    #[test]
    fn times_become_seconds() {
        for (time, expected) in [
            ("2023-11-14T22:13:20.5Z", 1_700_000_000),
            ("0001-01-01T00:00:00Z", 0),
            ("", 0),
        ] {
            assert_eq!(unix_seconds(time), expected, "{time}");
        }
    }
}
