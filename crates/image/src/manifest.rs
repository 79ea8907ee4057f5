//! Manifests and indexes (OCI image specification 1.1; Docker, "Image Manifest V 2, Schema 2").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

/// A document that is no manifest or index, or none that can be used; the text is complete, in Docker's words where it has some.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    /// There is no way to use it.
    pub(crate) fn unsupported() -> Self {
        Self("unsupported manifest format".into())
    }
}

/// Media types of documents and layers.
pub mod media_type {
    /// Docker's manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's index.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// OCI's manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI's index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker's former manifest, as it was signed.
    pub const SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Docker's former manifest.
    pub const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
    /// Docker's image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// OCI's image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// Docker's layer, as Docker makes it: compressed with gzip.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

    /// Layers whose compression is found out from their first bytes.
    pub(super) const LAYERS: [&str; 9] = [
        DOCKER_LAYER,
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    ];
    /// Configurations of images; some registries give the latter ones.
    pub(super) const CONFIGS: [&str; 6] = [
        DOCKER_CONFIG,
        OCI_CONFIG,
        "application/octet-stream",
        "application/json",
        "text/html",
        "",
    ];
}

/// A reference to content (OCI descriptor.md). In the order in which Docker writes the fields.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Descriptor {
    /// What it is.
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// Of the content.
    pub digest: Digest,
}

/// An entry of an index.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Entry {
    /// The manifest.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// What it is for; absent means anything.
    pub platform: Option<Platform>,
    /// What else is said about it (OCI annotations.md).
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Entry {
    /// The entry that does best on a platform; the first of equals.
    pub fn best(entries: Vec<Self>, platform: &Platform) -> Option<Self> {
        let rank = |entry: &Self| match &entry.platform {
            Some(offered) => platform.rank(offered),
            // For anything, after those that say what they are for.
            None => Some(u32::MAX),
        };
        entries
            .into_iter()
            .filter_map(|entry| Some((rank(&entry)?, entry)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, entry)| entry)
    }
}

/// The manifest of one image.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ImageManifest {
    /// Always 2.
    #[serde(rename = "schemaVersion")]
    pub schema_version: u32,
    /// [`media_type::DOCKER_MANIFEST`] or [`media_type::OCI_MANIFEST`].
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// What a tag or digest stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// One image.
    Image(ImageManifest),
    /// Images for several platforms.
    Index(Vec<Entry>),
    /// Docker's former format.
    Schema1,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

impl Content {
    /// Parses what a registry sent as `content_type`. Content that could be taken for an image as well as for an index is
    /// refused (CVE-2021-41190).
    ///
    /// # Errors
    /// When it is neither, or holds something that is no part of an image.
    pub fn parse(content_type: &str, bytes: &[u8]) -> Result<Self, Invalid> {
        let invalid = |error: serde_json::Error| Invalid(format!("manifest: {error}"));
        let shape: Shape = serde_json::from_slice(bytes).map_err(invalid)?;
        let stated = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = if shape.media_type.is_empty() {
            stated
        } else {
            &shape.media_type
        };
        if shape.schema_version == 1
            || matches!(media_type, media_type::SCHEMA1 | media_type::SCHEMA1_SIGNED)
        {
            return Ok(Self::Schema1);
        }
        let image_like = shape.config.is_some() || shape.layers.is_some();
        match (shape.manifests.is_some(), image_like) {
            (true, true) => Err(Invalid(
                "manifest: it has both manifests and config or layers, so it is unclear what it is"
                    .into(),
            )),
            (true, false) => {
                let index: Index = serde_json::from_slice(bytes).map_err(invalid)?;
                Ok(Self::Index(index.manifests))
            }
            (false, true) => {
                let manifest: ImageManifest = serde_json::from_slice(bytes).map_err(invalid)?;
                manifest.check()?;
                Ok(Self::Image(manifest))
            }
            (false, false) => Err(Invalid::unsupported()),
        }
    }
}

impl ImageManifest {
    /// A manifest as Docker makes it.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::DOCKER_MANIFEST.to_owned(),
            config,
            layers,
        }
    }

    /// Its bytes, indented as Docker does: what was pulled from Docker's own push gets the same digest when it is
    /// pushed again.
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        // Strings and numbers into memory: this cannot fail.
        let _ = self.serialize(&mut serializer);
        out
    }

    fn check(&self) -> Result<(), Invalid> {
        let config = self.config.media_type.as_str();
        if !media_type::CONFIGS.contains(&config) {
            let class = if config == "application/vnd.docker.plugin.v1+json" {
                "plugin"
            } else {
                "unknown"
            };
            return Err(Invalid(format!(
                "Encountered remote \"{config}\"({class}) when fetching"
            )));
        }
        let strange =
            |layer: &&Descriptor| !media_type::LAYERS.contains(&layer.media_type.as_str());
        match self.layers.iter().find(strange) {
            Some(layer) => Err(Invalid(format!(
                "unsupported media type {}",
                layer.media_type
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn descriptor(media_type: &str) -> Value {
        json!({"mediaType": media_type, "size": 3, "digest": Digest::of(b"abc")})
    }

    fn outcome(content_type: &str, document: &Value) -> String {
        match Content::parse(content_type, document.to_string().as_bytes()) {
            Ok(Content::Image(manifest)) => format!("image of {} layers", manifest.layers.len()),
            Ok(Content::Index(entries)) => entries
                .iter()
                .map(|entry| {
                    entry
                        .platform
                        .as_ref()
                        .map_or("any".into(), ToString::to_string)
                })
                .collect::<Vec<_>>()
                .join(" "),
            Ok(Content::Schema1) => "schema 1".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn documents_are_told_apart() {
        let layer = |kind: &str| descriptor(kind);
        let image = |config: &str, kind: &str| json!({"schemaVersion": 2, "config": descriptor(config), "layers": [layer(kind)]});
        let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
        let mut entry = descriptor(media_type::OCI_MANIFEST);
        entry["platform"] =
            json!({"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1"});
        for (content_type, document, expected) in [
            (
                media_type::DOCKER_MANIFEST,
                image(media_type::DOCKER_CONFIG, media_type::DOCKER_LAYER),
                "image of 1 layers",
            ),
            ("", image(media_type::OCI_CONFIG, zstd), "image of 1 layers"),
            (
                media_type::OCI_INDEX,
                json!({"schemaVersion": 2, "manifests": [entry, descriptor("x")]}),
                "linux/arm/v7 any",
            ),
            (
                media_type::SCHEMA1_SIGNED,
                json!({"schemaVersion": 1, "fsLayers": []}),
                "schema 1",
            ),
            (
                "",
                json!({"schemaVersion": 2}),
                "unsupported manifest format",
            ),
            (
                media_type::OCI_INDEX,
                json!({"schemaVersion": 2, "manifests": [], "layers": []}),
                "manifest: it has both manifests and config or layers, so it is unclear what it is",
            ),
            (
                "",
                image(
                    "application/vnd.docker.plugin.v1+json",
                    media_type::DOCKER_LAYER,
                ),
                "Encountered remote \"application/vnd.docker.plugin.v1+json\"(plugin) when fetching",
            ),
            (
                "",
                image(
                    "application/vnd.cncf.helm.config.v1+json",
                    media_type::DOCKER_LAYER,
                ),
                "Encountered remote \"application/vnd.cncf.helm.config.v1+json\"(unknown) when fetching",
            ),
            (
                "",
                image(media_type::OCI_CONFIG, "application/x-other"),
                "unsupported media type application/x-other",
            ),
        ] {
            assert_eq!(outcome(content_type, &document), expected, "{document}");
        }
        assert!(
            Content::parse("", b"<html>")
                .unwrap_err()
                .to_string()
                .starts_with("manifest: expected value")
        );
    }

    #[test]
    fn manifests_are_written_as_docker_writes_them() {
        let descriptor = |media_type: &str| Descriptor {
            media_type: media_type.into(),
            size: 3,
            digest: Digest::of(b"abc"),
        };
        let manifest = ImageManifest::new(
            descriptor(media_type::DOCKER_CONFIG),
            vec![descriptor(media_type::DOCKER_LAYER)],
        );
        let expected = r#"{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": 3,
      "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
   },
   "layers": [
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 3,
         "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
      }
   ]
}"#;
        assert_eq!(String::from_utf8(manifest.render()).unwrap(), expected);
    }

    fn entry(number: u64, platform: Option<&str>) -> Entry {
        Entry {
            descriptor: Descriptor {
                media_type: String::new(),
                size: number,
                digest: Digest::of(b""),
            },
            platform: platform.map(|text| Platform::parse(text).unwrap()),
            annotations: None,
        }
    }

    #[test]
    fn the_best_platform_is_chosen() {
        let list = [
            Some("linux/arm64"),
            None,
            Some("linux/arm/v6"),
            Some("linux/arm/v7"),
            Some("linux/amd64"),
            Some("linux/amd64"),
        ];
        let entries = || {
            (0..)
                .zip(list)
                .map(|(n, p)| entry(n, p))
                .collect::<Vec<_>>()
        };
        for (wanted, expected) in [
            ("linux/amd64", 4),
            ("linux/arm", 3),
            ("linux/arm/v6", 2),
            ("linux/riscv64", 1),
        ] {
            let platform = Platform::parse(wanted).unwrap();
            let found = Entry::best(entries(), &platform).unwrap();
            assert_eq!(found.descriptor.size, expected, "{wanted}");
        }
        let platform = Platform::parse("linux/riscv64").unwrap();
        assert_eq!(
            Entry::best(vec![entry(0, Some("linux/amd64"))], &platform),
            None
        );
    }
}
