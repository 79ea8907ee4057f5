//! How one layer of configuration lies over another (inventory B1-009).

use serde_json::Value;

/// Lays `upper` over `lower`: maps merge key by key, everything else (lists too) is replaced.
///
/// A key without a value (`rancher:`) leaves a map as it is and unsets anything else: it is what people write
/// when they have removed the last line below it.
pub fn merge(lower: &mut Value, upper: Value) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) => {
            for (key, value) in upper {
                match lower.get_mut(&key) {
                    Some(existing) => merge(existing, value),
                    None => {
                        lower.insert(key, value);
                    }
                }
            }
        }
        (Value::Object(_), Value::Null) => {}
        (lower, upper) => *lower = upper,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_merge_and_the_rest_is_replaced() {
        let cases = [
            (
                json!({"a": {"x": 1}}),
                json!({"a": {"y": 2}}),
                json!({"a": {"x": 1, "y": 2}}),
            ),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": 1}), json!({"a": "b"}), json!({"a": "b"})),
            (json!({"a": {"x": 1}}), json!({"a": 5}), json!({"a": 5})),
            (
                json!({"a": {"x": 1}}),
                json!({"a": null}),
                json!({"a": {"x": 1}}),
            ),
            (json!({"a": 1}), json!({"a": null}), json!({"a": null})),
            (
                json!({"a": null}),
                json!({"a": {"x": 1}}),
                json!({"a": {"x": 1}}),
            ),
            (
                json!({}),
                json!({"b": {"c": true}}),
                json!({"b": {"c": true}}),
            ),
        ];
        for (lower, upper, want) in cases {
            let mut merged = lower.clone();
            merge(&mut merged, upper.clone());
            assert_eq!(merged, want, "{lower} + {upper}");
        }
    }
}
