//! OpenStack's config drive, version "latest" (inventory C2-009; OpenStack Nova: "Metadata service", config drives).

use std::path::Path;

use coracle_config::{Metadata, Problem};
use serde::Deserialize;

use crate::source::{Fetched, read_optional};
use crate::{Error, UserData};

const META_DATA: &str = "openstack/latest/meta_data.json";
const USER_DATA: &str = "openstack/latest/user_data";

/// The fields of `meta_data.json` that matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaData {
    hostname: Option<String>,
    public_keys: Option<std::collections::BTreeMap<String, String>>,
    network_config: Option<NetworkConfig>,
}

#[derive(Debug, Deserialize)]
struct NetworkConfig {
    content_path: String,
}

pub(crate) fn read(directory: &Path) -> (Fetched, Vec<Error>) {
    let mut fetched = Fetched::default();
    let mut problems = Vec::new();
    match read_optional(&directory.join(META_DATA))
        .and_then(|bytes| bytes.map(|bytes| parse(&bytes)).transpose())
    {
        Ok(Some((metadata, network))) => {
            fetched.metadata = Some(metadata);
            let content = network.map(|path| {
                read_optional(
                    &directory
                        .join("openstack")
                        .join(path.trim_start_matches('/')),
                )
            });
            match content.transpose() {
                Ok(content) => fetched.network_config = content.flatten(),
                Err(error) => problems.push(error),
            }
        }
        Ok(None) => {}
        Err(error) => problems.push(error),
    }
    match read_optional(&directory.join(USER_DATA))
        .and_then(|bytes| UserData::decode(&bytes.unwrap_or_default()))
    {
        Ok(user_data) => fetched.user_data = user_data,
        Err(error) => problems.push(error),
    }
    (fetched, problems)
}

/// The metadata, and where on the drive the network's settings are.
fn parse(json: &[u8]) -> Result<(Metadata, Option<String>), Error> {
    let meta: MetaData = serde_json::from_slice(json).map_err(|error| {
        let line = Some(error.line() as u64).filter(|line| *line > 0);
        Error::Metadata(Problem {
            file: META_DATA.into(),
            line,
            key: None,
            text: format!("not the metadata of OpenStack: {error}"),
        })
    })?;
    let keys = meta.public_keys.unwrap_or_default();
    let metadata = Metadata {
        hostname: meta.hostname.unwrap_or_default().trim().to_owned(),
        ssh_public_keys: keys
            .into_iter()
            .map(|(name, key)| (name, key.trim().to_owned()))
            .collect(),
        ..Metadata::default()
    };
    Ok((
        metadata,
        meta.network_config.map(|network| network.content_path),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_nova() {
        let json = br#"{"hostname": "h.novalocal", "name": "h", "uuid": "x", "launch_index": 0,
            "public_keys": {"b": "ssh-rsa B\n", "a": "ssh-rsa A"}, "network_config": {"name": "network_config", "content_path": "/content/0000"}}"#;
        let (metadata, network) = parse(json).unwrap();
        assert_eq!(metadata.hostname, "h.novalocal");
        assert_eq!(
            metadata.ssh_public_keys.into_values().collect::<Vec<_>>(),
            ["ssh-rsa A", "ssh-rsa B"]
        );
        assert_eq!(network.as_deref(), Some("/content/0000"));
        assert_eq!(parse(b"{}").unwrap(), (Metadata::default(), None));
    }

    #[test]
    fn broken_metadata_names_the_line() {
        let text = parse(b"{\n\"hostname\": 5}").unwrap_err().to_string();
        assert!(
            text.starts_with("openstack/latest/meta_data.json:2: not the metadata of OpenStack: "),
            "{text}"
        );
    }
}
