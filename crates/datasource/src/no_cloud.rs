//! cloud-init's NoCloud volume: `meta-data`, `user-data` and `network-config` in its root (cloud-init: "NoCloud" datasource).

use std::path::Path;

use coracle_config::{Metadata, Problem, lenient, yaml};
use serde_json::Value;

use crate::source::{Fetched, read_optional};
use crate::{Error, UserData};

const META_DATA: &str = "meta-data";

pub(crate) fn read(directory: &Path) -> (Fetched, Vec<Error>) {
    let mut fetched = Fetched::default();
    let mut problems = Vec::new();
    match read_optional(&directory.join(META_DATA))
        .and_then(|bytes| bytes.map(|bytes| parse(&bytes)).transpose())
    {
        Ok(metadata) => fetched.metadata = metadata,
        Err(error) => problems.push(error),
    }
    match read_optional(&directory.join("user-data"))
        .and_then(|bytes| UserData::decode(&bytes.unwrap_or_default()))
    {
        Ok(user_data) => fetched.user_data = user_data,
        Err(error) => problems.push(error),
    }
    match read_optional(&directory.join("network-config")) {
        Ok(network) => fetched.network_config = network,
        Err(error) => problems.push(error),
    }
    (fetched, problems)
}

fn parse(bytes: &[u8]) -> Result<Metadata, Error> {
    let tree = yaml::parse(META_DATA, &String::from_utf8_lossy(bytes))
        .map_err(Error::Metadata)?
        .tree;
    if !tree.is_object() {
        let text = "is no map of keys; write \"local-hostname: name\"".into();
        return Err(Error::Metadata(Problem {
            file: META_DATA.into(),
            line: None,
            key: None,
            text,
        }));
    }
    let text = |key: &str| tree.get(key).and_then(lenient::scalar_text);
    Ok(Metadata {
        hostname: text("local-hostname")
            .or_else(|| text("hostname"))
            .unwrap_or_default(),
        ssh_public_keys: keys(tree.get("public-keys").unwrap_or(&Value::Null)),
        ..Metadata::default()
    })
}

/// A list, a map by name, a map by number with `openssh-key` (as EC2 has it), or text with a key per line.
fn keys(value: &Value) -> std::collections::BTreeMap<String, String> {
    let numbered = |items: Vec<String>| {
        // Zero-padded, so that the order by name is the order in the list.
        items
            .into_iter()
            .enumerate()
            .map(|(i, key)| (format!("{i:04}"), key))
            .collect()
    };
    match value {
        Value::Array(items) => numbered(items.iter().filter_map(lenient::scalar_text).collect()),
        Value::String(text) => numbered(
            text.lines()
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .map(str::to_owned)
                .collect(),
        ),
        Value::Object(map) => map
            .iter()
            .filter_map(|(name, key)| {
                let key = key.get("openssh-key").unwrap_or(key);
                let key = key.get(0).unwrap_or(key);
                Some((name.clone(), lenient::scalar_text(key)?.trim().to_owned()))
            })
            .collect(),
        _ => std::collections::BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_every_form_of_cloud_init() {
        let cases = [
            (
                "instance-id: i\nlocal-hostname: h\npublic-keys: [ssh-rsa A, ssh-rsa B]\n",
                "h",
                vec!["ssh-rsa A", "ssh-rsa B"],
            ),
            (
                "hostname: 12\npublic-keys:\n  k: ssh-rsa A\n",
                "12",
                vec!["ssh-rsa A"],
            ),
            (
                "public-keys:\n  '0':\n    openssh-key: ssh-rsa A\n",
                "",
                vec!["ssh-rsa A"],
            ),
            ("public-keys:\n  k: [ssh-rsa A]\n", "", vec!["ssh-rsa A"]),
            (
                "public-keys: |\n  ssh-rsa A\n  ssh-rsa B\n",
                "",
                vec!["ssh-rsa A", "ssh-rsa B"],
            ),
            (
                "{\"instance-id\": \"i\", \"local-hostname\": \"j\"}",
                "j",
                vec![],
            ),
            ("", "", vec![]),
        ];
        for (text, hostname, keys) in cases {
            let metadata = parse(text.as_bytes()).unwrap();
            assert_eq!(metadata.hostname, hostname, "{text}");
            assert_eq!(
                metadata.ssh_public_keys.into_values().collect::<Vec<_>>(),
                keys,
                "{text}"
            );
        }
    }

    #[test]
    fn broken_metadata_is_named() {
        assert_eq!(
            parse(b"just text").unwrap_err().to_string(),
            "meta-data: is no map of keys; write \"local-hostname: name\""
        );
    }
}
