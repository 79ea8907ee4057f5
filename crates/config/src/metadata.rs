//! What the platform says about the machine (inventory B1-008, B1-010, C1-006).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{lenient, tree};

/// Metadata from a datasource, kept as YAML in `/var/lib/rancher/conf/metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Host name that the platform gave.
    #[serde(
        deserialize_with = "lenient::string",
        skip_serializing_if = "String::is_empty"
    )]
    pub hostname: String,
    /// Public keys by name.
    #[serde(
        deserialize_with = "lenient::string_map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub ssh_public_keys: BTreeMap<String, String>,
    /// Address for `$public_ipv4`.
    #[serde(
        deserialize_with = "lenient::string",
        skip_serializing_if = "String::is_empty"
    )]
    pub public_ipv4: String,
    /// Address for `$public_ipv6`.
    #[serde(
        deserialize_with = "lenient::string",
        skip_serializing_if = "String::is_empty"
    )]
    pub public_ipv6: String,
    /// Address for `$private_ipv4`.
    #[serde(
        deserialize_with = "lenient::string",
        skip_serializing_if = "String::is_empty"
    )]
    pub private_ipv4: String,
    /// Address for `$private_ipv6`.
    #[serde(
        deserialize_with = "lenient::string",
        skip_serializing_if = "String::is_empty"
    )]
    pub private_ipv6: String,
    /// Disk to grow.
    #[serde(
        deserialize_with = "lenient::string",
        skip_serializing_if = "String::is_empty"
    )]
    pub root_disk: String,
}

impl Metadata {
    /// Puts the metadata into a merged tree: the host name and the disk to grow only when unset, keys appended in the
    /// order of their names, without those that are already there.
    pub fn apply(&self, merged: &mut Value) {
        for (key, value) in [
            ("hostname", &self.hostname),
            ("rancher.resize_device", &self.root_disk),
        ] {
            let unset = tree::get(merged, key).is_none_or(|old| old.is_null() || old == "");
            if unset && !value.is_empty() {
                tree::set(merged, key, Value::String(value.clone()));
            }
        }
        if self.ssh_public_keys.is_empty() {
            return;
        }
        let mut keys = match tree::get(merged, "ssh_authorized_keys") {
            Some(Value::Array(keys)) => keys.clone(),
            Some(Value::String(key)) => vec![Value::String(key.clone())],
            _ => Vec::new(),
        };
        for key in self.ssh_public_keys.values() {
            if !keys.iter().any(|old| old == key) {
                keys.push(Value::String(key.clone()));
            }
        }
        tree::set(merged, "ssh_authorized_keys", Value::Array(keys));
    }
}

/// Replaces `$public_ipv4`, `$private_ipv4`, `$public_ipv6` and `$private_ipv6`; a backslash before the dollar keeps the text
/// and goes away. An address that the platform did not give is empty.
#[must_use]
pub fn substitute(text: &str, metadata: &Metadata) -> String {
    let variables = [
        ("$public_ipv4", &metadata.public_ipv4),
        ("$private_ipv4", &metadata.private_ipv4),
        ("$public_ipv6", &metadata.public_ipv6),
        ("$private_ipv6", &metadata.private_ipv6),
    ];
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from_dollar) = rest.split_at(at);
        let Some((name, value)) = variables
            .iter()
            .find(|(name, _)| from_dollar.starts_with(name))
        else {
            result.push_str(&rest[..=at]);
            rest = &from_dollar[1..];
            continue;
        };
        match before.strip_suffix('\\') {
            Some(unescaped) => {
                result.push_str(unescaped);
                result.push_str(name);
            }
            None => {
                result.push_str(before);
                result.push_str(value);
            }
        }
        rest = &from_dollar[name.len()..];
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Metadata {
        Metadata {
            hostname: "cloud".into(),
            ssh_public_keys: [
                ("2".into(), "ssh-rsa B".into()),
                ("1".into(), "ssh-rsa A".into()),
            ]
            .into(),
            public_ipv4: "1.2.3.4".into(),
            private_ipv6: "fd00::1".into(),
            ..Metadata::default()
        }
    }

    #[test]
    fn fills_what_is_unset_and_appends_keys() {
        let cases = [
            (
                json!({}),
                json!({"hostname": "cloud", "ssh_authorized_keys": ["ssh-rsa A", "ssh-rsa B"]}),
            ),
            (
                json!({"hostname": "mine", "ssh_authorized_keys": ["ssh-rsa B", "ssh-rsa C"]}),
                json!({"hostname": "mine", "ssh_authorized_keys": ["ssh-rsa B", "ssh-rsa C", "ssh-rsa A"]}),
            ),
        ];
        for (mut tree, want) in cases {
            sample().apply(&mut tree);
            assert_eq!(tree, want);
        }
    }

    // I3-002 (SubstituteUserDataVars).
    #[test]
    fn substitutes_addresses() {
        let cases = [
            ("a $public_ipv4 b", "a 1.2.3.4 b"),
            ("$public_ipv4$private_ipv6", "1.2.3.4fd00::1"),
            ("x\\$public_ipv4", "x$public_ipv4"),
            ("[$private_ipv4]", "[]"),
            ("$HOME \\$x $", "$HOME \\$x $"),
        ];
        for (text, want) in cases {
            assert_eq!(substitute(text, &sample()), want);
        }
    }

    #[test]
    fn is_written_and_read_back() {
        let tree = serde_json::to_value(sample()).unwrap();
        let text = crate::yaml::emit(&tree).unwrap();
        let back: Metadata =
            serde_json::from_value(crate::yaml::parse("metadata", &text).unwrap().tree).unwrap();
        assert_eq!(back, sample());
    }
}
