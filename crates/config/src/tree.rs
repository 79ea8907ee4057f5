//! Dotted keys: `rancher.state.dev` as a way into the tree (inventory B9-001, B9-002).

use serde_json::{Map, Value};

/// Maps whose keys contain dots themselves: what follows them in a dotted key is one key.
const MAPS_WITH_DOTTED_KEYS: [&str; 2] = ["rancher.sysctl", "rancher.services_include"];

/// Splits a dotted key into steps.
///
/// `rancher.sysctl.vm.swappiness` is the key `vm.swappiness` of `rancher.sysctl`, and
/// `rancher.services_include.https://example.com/a.yml` the key `https://example.com/a.yml`.
#[must_use]
pub fn split(key: &str) -> Vec<&str> {
    for map in MAPS_WITH_DOTTED_KEYS {
        if let Some(rest) = key
            .strip_prefix(map)
            .and_then(|rest| rest.strip_prefix('.'))
        {
            return map.split('.').chain([rest]).collect();
        }
    }
    key.split('.').collect()
}

/// The dotted key of `child` below `parent` (empty for the root).
#[must_use]
pub fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() {
        child.to_owned()
    } else {
        format!("{parent}.{child}")
    }
}

/// The value at a dotted key, or `None` when there is none.
#[must_use]
pub fn get<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    split(key)
        .iter()
        .try_fold(tree, |node, step| node.get(step))
}

/// Sets a dotted key, making maps on the way. A scalar or list on the way is replaced by a map.
pub fn set(tree: &mut Value, key: &str, value: Value) {
    let mut node = tree;
    for step in split(key) {
        node = map_of(node).entry(step).or_insert(Value::Null);
    }
    *node = value;
}

/// Removes a dotted key and returns what was there. Maps that become empty stay.
pub fn remove(tree: &mut Value, key: &str) -> Option<Value> {
    let steps = split(key);
    let (last, parents) = steps.split_last()?;
    let parent = parents
        .iter()
        .try_fold(tree, |node, step| node.get_mut(step))?;
    parent.as_object_mut()?.shift_remove(*last)
}

/// The map in `node`, which becomes one if it is not.
pub(crate) fn map_of(node: &mut Value) -> &mut Map<String, Value> {
    if !node.is_object() {
        *node = Value::Object(Map::new());
    }
    match node {
        Value::Object(map) => map,
        _ => unreachable!("made a map above"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({"key": "value", "rancher": {"key2": {"subkey": "subvalue", "subnum": 42}, "sysctl": {"vm.swappiness": 0}}})
    }

    // I3-001 (TestGet).
    #[test]
    fn gets_by_dotted_key() {
        let cases = [
            ("key", Some(json!("value"))),
            ("rancher.key2.subkey", Some(json!("subvalue"))),
            ("rancher.key2.subnum", Some(json!(42))),
            ("rancher.key2.subkey2", None),
            ("rancher.key2.subkey.deeper", None),
            ("foo", None),
            ("rancher.sysctl.vm.swappiness", Some(json!(0))),
        ];
        for (key, want) in cases {
            assert_eq!(get(&sample(), key), want.as_ref(), "{key}");
        }
    }

    // I3-001 (TestSet).
    #[test]
    fn sets_by_dotted_key() {
        let mut tree = sample();
        for (key, value) in [
            ("key", json!("value2")),
            ("rancher.key2.subkey", json!("subvalue2")),
            ("rancher.key2.subkey2", json!("value")),
            ("rancher.key2.subkey3", json!(43)),
            ("rancher.key3.subkey3", json!(44)),
            ("rancher.sysctl.net.core.somaxconn", json!(4096)),
            ("rancher.services_include.https://a.b/c.yml", json!(true)),
            ("key4.a", json!("value4")),
        ] {
            set(&mut tree, key, value);
        }
        assert_eq!(
            tree,
            json!({
                "key": "value2",
                "rancher": {
                    "key2": {"subkey": "subvalue2", "subnum": 42, "subkey2": "value", "subkey3": 43},
                    "sysctl": {"vm.swappiness": 0, "net.core.somaxconn": 4096},
                    "key3": {"subkey3": 44},
                    "services_include": {"https://a.b/c.yml": true},
                },
                "key4": {"a": "value4"},
            })
        );
    }

    #[test]
    fn removes_by_dotted_key() {
        let mut tree = sample();
        assert_eq!(remove(&mut tree, "rancher.key2.subnum"), Some(json!(42)));
        assert_eq!(remove(&mut tree, "rancher.none.x"), None);
        assert_eq!(
            get(&tree, "rancher.key2"),
            Some(&json!({"subkey": "subvalue"}))
        );
    }
}
