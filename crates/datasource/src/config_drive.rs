//! OpenStack's config drive (inventory C2-009): `openstack/latest/meta_data.json` and `user_data`.

use std::collections::BTreeMap;

use coracle_config::Metadata;
use serde::Deserialize;

use crate::{Result, format_error};

pub const META_DATA: &str = "openstack/latest/meta_data.json";
pub const USER_DATA: &str = "openstack/latest/user_data";

/// What the drive's metadata says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    pub metadata: Metadata,
    /// Where on the drive the network description is; the drive itself counts from `openstack`.
    pub network_path: Option<String>,
}

#[derive(Deserialize)]
struct MetaData {
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    public_keys: Option<BTreeMap<String, String>>,
    #[serde(default)]
    network_config: Option<NetworkConfig>,
}

#[derive(Deserialize)]
struct NetworkConfig {
    content_path: String,
}

pub fn parse(text: &str) -> Result<Parsed> {
    let raw: MetaData = serde_json::from_str(text)
        .map_err(|e| format_error(META_DATA, format!("not metadata: {e}")))?;
    let keys = raw.public_keys.unwrap_or_default();
    Ok(Parsed {
        metadata: Metadata {
            hostname: raw.hostname.unwrap_or_default(),
            ssh_public_keys: keys
                .into_iter()
                .map(|(name, key)| (name, key.trim().to_owned()))
                .collect(),
            ..Metadata::default()
        },
        network_path: raw
            .network_config
            .map(|network| format!("openstack{}", network.content_path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_openstack_writes_and_nothing_else() {
        let parsed = parse(
            r#"{"uuid":"83679162","hostname":"web.novalocal","name":"web","launch_index":0,"availability_zone":"nova",
                "public_keys":{"mykey":"ssh-rsa AAAA nova\n"},"keys":[{"data":"ssh-rsa AAAA nova\n","type":"ssh","name":"mykey"}],
                "network_config":{"name":"network_config","content_path":"/content/0000"}}"#,
        );
        assert_eq!(
            parsed.unwrap(),
            Parsed {
                metadata: Metadata {
                    hostname: "web.novalocal".into(),
                    ssh_public_keys: [("mykey".to_owned(), "ssh-rsa AAAA nova".to_owned())].into(),
                    ..Metadata::default()
                },
                network_path: Some("openstack/content/0000".into()),
            }
        );
        assert_eq!(parse("{}").unwrap(), Parsed::default());
    }

    #[test]
    fn names_file_line_and_column_of_broken_metadata() {
        assert_eq!(
            parse("{\"hostname\": }").unwrap_err().to_string(),
            "openstack/latest/meta_data.json: not metadata: expected value at line 1 column 14"
        );
    }
}
