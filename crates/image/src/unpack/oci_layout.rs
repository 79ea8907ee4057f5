//! Archives of an OCI image layout (OCI image-layout.md) without Docker's `manifest.json`, as `docker buildx`, skopeo and podman write
//! them.

use super::manifest::Item;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{Content, Descriptor, Entry, Invalid};
use crate::platform::Platform;
use crate::reference::Reference;

/// The file by which a layout is known.
pub const LAYOUT_FILE: &str = "oci-layout";
/// The file that lists the images.
pub const INDEX_FILE: &str = "index.json";

/// Where the whole name of an image is, by containerd's and by OCI's custom.
const NAMES: [&str; 2] = [
    "io.containerd.image.name",
    "org.opencontainers.image.ref.name",
];
/// Indexes in indexes that are followed.
const DEPTH: usize = 4;

/// The images that an index lists, of several platforms the one for this machine. `read` gives a file of the archive.
pub fn items(
    index: &[u8],
    read: impl Fn(&str) -> Result<Vec<u8>, Error>,
) -> Result<Vec<Item>, Error> {
    let Content::Index(entries) = Content::parse("", index)? else {
        return Err(Error::Archive(format!("{INDEX_FILE} is no index")));
    };
    let mut items = Vec::new();
    for entry in entries {
        let name = name(&entry);
        if let Some(item) = image(entry, name, &read)? {
            items.push(item);
        }
    }
    if items.is_empty() {
        return Err(Error::Archive(format!(
            "{INDEX_FILE} lists no image for {}",
            Platform::host()
        )));
    }
    Ok(items)
}

/// The image behind an entry; none when it is not for this machine, as are the attestations of buildx.
fn image(
    entry: Entry,
    name: Option<Reference>,
    read: impl Fn(&str) -> Result<Vec<u8>, Error>,
) -> Result<Option<Item>, Error> {
    let host = Platform::host();
    let mut entries = vec![entry];
    for _ in 0..DEPTH {
        let Some(entry) = Entry::best(entries, &host) else {
            return Ok(None);
        };
        let path = blob(&entry.descriptor);
        let bytes = read(&path)?;
        if Digest::of(&bytes) != entry.descriptor.digest {
            return Err(Error::Archive(format!(
                "{path} in the archive is damaged: its digest is {}",
                Digest::of(&bytes)
            )));
        }
        entries = match Content::parse(&entry.descriptor.media_type, &bytes)? {
            Content::Index(entries) => entries,
            Content::Schema1 => break,
            Content::Image(manifest) => {
                let layers = manifest.layers.iter().map(blob).collect();
                return Ok(Some(Item::new(blob(&manifest.config), name, layers)));
            }
        };
    }
    Err(Error::from(Invalid::unsupported()))
}

/// The name with a tag that an image is to have; some write only the tag, which is nobody's name.
fn name(entry: &Entry) -> Option<Reference> {
    let annotations = entry.annotations.as_ref()?;
    NAMES
        .iter()
        .filter_map(|key| annotations.get(*key))
        .filter(|text| text.contains([':', '/']))
        .filter_map(|text| Reference::parse(text).ok())
        .map(Reference::with_default_tag)
        .find(|name| name.digest.is_none())
}

fn blob(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest.hex())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};

    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

    /// Blobs by path.
    #[derive(Default)]
    struct Blobs(BTreeMap<String, Vec<u8>>);

    impl Blobs {
        fn add(&mut self, media_type: &str, document: &Value) -> Value {
            let bytes = document.to_string().into_bytes();
            let digest = Digest::of(&bytes);
            let size = bytes.len();
            self.0
                .insert(format!("blobs/sha256/{}", digest.hex()), bytes);
            json!({"mediaType": media_type, "digest": digest, "size": size})
        }

        fn image(&mut self, config: &str) -> Value {
            let config = self.add(OCI_CONFIG, &json!(config));
            let layer = self.add(LAYER, &json!("layer"));
            self.add(
                OCI_MANIFEST,
                &json!({"schemaVersion": 2, "config": config, "layers": [layer]}),
            )
        }

        /// The images of an index as `<configuration> [<names>]`, or the error.
        fn found(&self, manifests: &Value) -> Result<Vec<String>, String> {
            let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
            let read = |path: &str| {
                let blob = self.0.get(path).cloned();
                blob.ok_or_else(|| Error::Archive(format!("no {path}")))
            };
            let found = items(index.as_bytes(), read).map_err(|error| error.to_string())?;
            let text = |item: &Item| {
                let config = String::from_utf8(self.0[&item.config].clone()).unwrap();
                format!("{config} {:?}", item.names().unwrap())
            };
            Ok(found.iter().map(text).collect())
        }
    }

    fn with(mut entry: Value, key: &str, value: Value) -> Value {
        entry[key] = value;
        entry
    }

    #[test]
    fn images_have_the_names_that_their_makers_wrote() {
        let mut blobs = Blobs::default();
        let image = blobs.image("a");
        for (annotations, expected) in [
            (json!(null), r#""a" []"#),
            (
                json!({"io.containerd.image.name": "docker.io/library/a:1", "org.opencontainers.image.ref.name": "1"}),
                r#""a" ["docker.io/library/a:1"]"#,
            ),
            (
                json!({"org.opencontainers.image.ref.name": "reg.lan/a"}),
                r#""a" ["reg.lan/a:latest"]"#,
            ),
            (
                json!({"org.opencontainers.image.ref.name": "latest"}),
                r#""a" []"#,
            ),
            (
                json!({"org.opencontainers.image.ref.name": "A:b"}),
                r#""a" []"#,
            ),
        ] {
            let entry = with(image.clone(), "annotations", annotations);
            assert_eq!(blobs.found(&json!([entry])), Ok(vec![expected.to_owned()]));
        }
    }

    #[test]
    fn the_image_for_this_machine_is_taken() {
        let mut blobs = Blobs::default();
        let platform = |entry, architecture: &str, os: &str| {
            let platform = json!({"architecture": architecture, "os": os});
            with(entry, "platform", platform)
        };
        let host = Platform::host().architecture;
        let here = platform(blobs.image("here"), &host, "linux");
        let other = platform(blobs.image("other"), "s390x", "linux");
        let attestation = platform(blobs.image("attestation"), "unknown", "unknown");
        let mixed = blobs.add(
            OCI_INDEX,
            &json!({"schemaVersion": 2, "manifests": [other, here, attestation]}),
        );
        let found = Ok(vec![r#""here" []"#.to_owned()]);
        assert_eq!(blobs.found(&json!([mixed])), found);
        assert_eq!(blobs.found(&json!([other, here])), found);
        assert_eq!(
            blobs.found(&json!([other])),
            Err(format!(
                "index.json lists no image for {}",
                Platform::host()
            ))
        );
    }

    #[test]
    fn damage_is_named() {
        let mut blobs = Blobs::default();
        let image = blobs.image("a");
        let path = format!(
            "blobs/sha256/{}",
            &image["digest"].as_str().unwrap()["sha256:".len()..]
        );
        let whole = blobs.0.insert(path.clone(), b"{}".to_vec()).unwrap();
        let digest = Digest::of(b"{}");
        assert_eq!(
            blobs.found(&json!([image])),
            Err(format!(
                "{path} in the archive is damaged: its digest is {digest}"
            ))
        );
        blobs.0.remove(&path);
        assert_eq!(blobs.found(&json!([image])), Err(format!("no {path}")));
        let error = items(&whole, |_| unreachable!("nothing is read")).unwrap_err();
        assert_eq!(error.to_string(), "index.json is no index");
    }
}
