//! `manifest.json` of an image archive (Docker, "Image Tarball Format" 1.2).

use serde::Deserialize;

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::Error;
use crate::reference::Reference;

/// The file that explains an archive.
pub const MANIFEST_FILE: &str = "manifest.json";

/// One image of the archive. Paths are of the archive's entries: `<hex>.json` and `<id>/layer.tar` in archives of
/// Docker before 25, `blobs/sha256/<hex>` since.
#[derive(Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub struct Item {
    /// The configuration.
    pub config: String,
    /// Names with tags.
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    /// The layers, lowest first.
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Item {
    /// An image that another document explains.
    pub fn new(config: String, name: Option<Reference>, layers: Vec<String>) -> Self {
        Self {
            config,
            repo_tags: name.map(|name| vec![name.to_string()]),
            layers: Some(layers),
        }
    }

    /// The names in full form.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let parse = |name: &String| {
            let parsed = Reference::parse(name).map_err(|error| format!("{error}"));
            match parsed {
                Ok(reference) if reference.tag.is_some() => Ok(reference.to_string()),
                Ok(_) => Err(Error::Archive(format!(
                    "invalid tag \"{name}\" in {MANIFEST_FILE}"
                ))),
                Err(error) => Err(Error::Archive(format!(
                    "invalid name \"{name}\" in {MANIFEST_FILE}: {error}"
                ))),
            }
        };
        self.repo_tags.iter().flatten().map(parse).collect()
    }

    /// The layers' entries with the digests that the configuration wants, after checking that it is one we can run.
    pub fn layers<'a>(
        &'a self,
        config: &'a ImageConfig,
    ) -> Result<Vec<(&'a str, &'a Digest)>, Error> {
        if !matches!(config.os.as_str(), "linux" | "") {
            return Err(Error::Archive(format!(
                "image operating system \"{}\" cannot be used on this platform",
                config.os
            )));
        }
        let entries = self.layers.as_deref().unwrap_or_default();
        let digests = &config.rootfs.diff_ids;
        if entries.len() != digests.len() {
            return Err(Error::Archive(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                entries.len(),
                digests.len()
            )));
        }
        Ok(entries.iter().map(String::as_str).zip(digests).collect())
    }

    /// The digest in the configuration's name, if it has one.
    pub fn promised_id(&self) -> Option<Digest> {
        let name = self.config.rsplit('/').next()?;
        format!("sha256:{}", name.strip_suffix(".json").unwrap_or(name))
            .parse()
            .ok()
    }
}

/// Parses the file.
pub fn parse(bytes: &[u8]) -> Result<Vec<Item>, Error> {
    let items: Vec<Item> = serde_json::from_slice(bytes)
        .map_err(|e| Error::Archive(format!("{MANIFEST_FILE}: {e}")))?;
    if items.is_empty() {
        return Err(Error::Archive(format!("{MANIFEST_FILE} lists no image")));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn item(config: &str, tags: &str, layers: &str) -> Item {
        let json = format!(
            r#"[{{"Config":"{config}","RepoTags":{tags},"Layers":{layers},"LayerSources":{{}}}}]"#
        );
        parse(json.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn both_styles_are_understood() {
        for config in [format!("{HEX}.json"), format!("blobs/sha256/{HEX}")] {
            let item = item(&config, r#"["busybox:1","ghcr.io/a/b:c"]"#, "null");
            assert_eq!(item.promised_id(), Some(Digest::of(b"")));
            assert_eq!(
                item.names().unwrap(),
                ["docker.io/library/busybox:1", "ghcr.io/a/b:c"]
            );
        }
        assert_eq!(item("config.json", "null", "[]").promised_id(), None);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |result: Result<Vec<String>, Error>| result.unwrap_err().to_string();
        assert_eq!(
            error(item("c", r#"["busybox"]"#, "[]").names()),
            "invalid tag \"busybox\" in manifest.json"
        );
        assert_eq!(
            error(item("c", r#"["A:b"]"#, "[]").names()),
            "invalid name \"A:b\" in manifest.json: invalid reference format: repository name (library/A) must be \
             lowercase"
        );
        let config = ImageConfig {
            os: "windows".into(),
            ..ImageConfig::default()
        };
        assert_eq!(
            item("c", "[]", "[]")
                .layers(&config)
                .unwrap_err()
                .to_string(),
            "image operating system \"windows\" cannot be used on this platform"
        );
        assert_eq!(
            item("c", "[]", r#"["x"]"#)
                .layers(&ImageConfig::default())
                .unwrap_err()
                .to_string(),
            "invalid manifest, layers length mismatch: expected 1, got 0"
        );
        assert_eq!(
            parse(b"[]").unwrap_err().to_string(),
            "manifest.json lists no image"
        );
        assert!(
            parse(b"[{}]")
                .unwrap_err()
                .to_string()
                .starts_with("manifest.json: missing field `Config`")
        );
    }
}
