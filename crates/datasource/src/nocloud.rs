//! cloud-init's NoCloud seed: `meta-data`, `user-data` and `network-config` at the top of a volume labelled `cidata`.

use std::collections::BTreeMap;

use coracle_config::{Metadata, yaml};
use serde_json::Value;

use crate::{Error, Result, format_error};

pub const META_DATA: &str = "meta-data";
pub const USER_DATA: &str = "user-data";
pub const NETWORK_CONFIG: &str = "network-config";

/// Parses `meta-data`: YAML with `local-hostname` (or `hostname`) and `public-keys`, a list, a map, or one string.
pub fn parse(text: &str) -> Result<Metadata> {
    let tree = yaml::parse(META_DATA, text).map_err(Error::Format)?.tree;
    if !tree.is_object() {
        return Err(format_error(
            META_DATA,
            "is not a map of keys such as \"local-hostname: name\"",
        ));
    }
    let hostname = ["local-hostname", "hostname"]
        .iter()
        .find_map(|key| tree.get(*key)?.as_str());
    Ok(Metadata {
        hostname: hostname.unwrap_or_default().to_owned(),
        ssh_public_keys: tree.get("public-keys").map(public_keys).unwrap_or_default(),
        ..Metadata::default()
    })
}

/// Keys by name; those of a list are named by their number, which keeps their order up to ten thousand of them.
fn public_keys(value: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map(|key| key.trim().to_owned());
    match value {
        Value::String(key) => [("0000".to_owned(), key.trim().to_owned())].into(),
        Value::Array(keys) => keys
            .iter()
            .enumerate()
            .filter_map(|(i, key)| Some((format!("{i:04}"), text(key)?)))
            .collect(),
        Value::Object(keys) => keys
            .iter()
            .filter_map(|(name, key)| Some((name.clone(), text(key)?)))
            .collect(),
        _ => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_that_cloud_init_allows() {
        let with = |hostname: &str, keys: &[(&str, &str)]| Metadata {
            hostname: hostname.into(),
            ssh_public_keys: keys
                .iter()
                .map(|(name, key)| ((*name).to_owned(), (*key).to_owned()))
                .collect(),
            ..Metadata::default()
        };
        for (text, expected) in [
            ("", with("", &[])),
            ("instance-id: i-1\nlocal-hostname: box\n", with("box", &[])),
            ("hostname: b\nlocal-hostname: a\n", with("a", &[])),
            (
                "public-keys: ssh-rsa A\n",
                with("", &[("0000", "ssh-rsa A")]),
            ),
            (
                "public-keys:\n  - k1\n  - k2\n",
                with("", &[("0000", "k1"), ("0001", "k2")]),
            ),
            ("public-keys:\n  me: k1\n", with("", &[("me", "k1")])),
            ("{\"local-hostname\": \"json\"}", with("json", &[])),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_metadata_that_is_no_map() {
        let error = parse("- a\n- b\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "meta-data: is not a map of keys such as \"local-hostname: name\""
        );
    }
}
