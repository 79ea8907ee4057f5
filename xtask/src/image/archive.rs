//! Optional images: archives that `system-docker load` reads, in the form that `docker save` gives them.
//!
//! The layers are compressed one by one, so that loading keeps no second uncompressed copy on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::bundle;
use super::definition::Definition;
use super::digest::{Digest, sha256};
use super::layer::Layer;
use super::tree::{Entry, Tree};

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// Part of every cache key: raise it when the same input shall give another archive.
const FORMAT: &str = "1";

/// Compression level for releases: level 19 would make the plugins of docker 8 % smaller and take twice as long.
pub const SMALL: i32 = 16;
/// Compression level for development.
pub const QUICK: i32 = 3;

/// An image: what its definition says, and its layers, lowest first.
#[derive(Debug)]
pub struct Image<'a> {
    /// Its folder in `images/`.
    pub name: &'a str,
    /// Its definition.
    pub definition: &'a Definition,
    /// Its layers.
    pub stack: Vec<&'a Layer>,
    /// Its tag.
    pub version: &'a str,
}

impl Image<'_> {
    /// Makes the archive, or takes it from the cache.
    pub fn archive(&self, cache: &Path, level: i32) -> anyhow::Result<PathBuf> {
        let config =
            serde_json::to_vec(&bundle::config(self.definition, &self.stack, self.version))?;
        let mut key = Digest::default();
        key.field(FORMAT).field(level.to_le_bytes());
        // The configuration has the digests of the layers.
        key.field(&config).field(self.tag());
        let path = cache.join(format!("{}-{:.16}.tar", self.name, key.hex()));
        if path.exists() {
            return Ok(path);
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        let megabytes = self.size() / 1_000_000;
        bar.set_message(format!("compressing image {} ({megabytes} MB)", self.name));
        let mut tar = Vec::new();
        self.tree(config, level)?.write_tar(&mut tar)?;
        fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
        super::write(&path, &tar)?;
        bar.finish_and_clear();
        Ok(path)
    }

    /// Bytes of its files.
    pub fn size(&self) -> u64 {
        self.stack.iter().map(|layer| layer.tree.size()).sum()
    }

    fn tag(&self) -> String {
        format!("{}:{}", self.definition.image, self.version)
    }

    /// An OCI layout (image-spec, image-layout.md) that also has Docker's `manifest.json`.
    fn tree(&self, config: Vec<u8>, level: i32) -> anyhow::Result<Tree> {
        let mut blobs = Blobs::default();
        let mut layers = Vec::new();
        for layer in &self.stack {
            let mut tar = Vec::new();
            layer.tree.write_tar(&mut tar)?;
            if sha256(&tar) != layer.diff_id {
                bail!("layer {} is not what its digest says", layer.name);
            }
            let packed = zstd::bulk::compress(&tar, level)
                .with_context(|| format!("cannot compress layer {}", layer.name))?;
            layers.push(blobs.add(LAYER_TYPE, packed));
        }
        let config = blobs.add(CONFIG_TYPE, config);
        let docker = json!([{
            "Config": path(&config),
            "RepoTags": [self.tag()],
            "Layers": layers.iter().map(path).collect::<Vec<_>>(),
        }]);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config,
            "layers": layers,
        });
        let mut manifest = blobs.add(MANIFEST_TYPE, manifest.to_string().into_bytes());
        manifest["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/{}", self.tag()),
            "org.opencontainers.image.ref.name": self.version,
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest] });
        let mut tree = blobs.0;
        for (name, content) in [
            ("index.json", index),
            ("manifest.json", docker),
            ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
        ] {
            tree.insert(name, Entry::file(content.to_string().into_bytes(), 0o644));
        }
        Ok(tree)
    }
}

/// Files named by their hash.
#[derive(Debug, Default)]
struct Blobs(Tree);

impl Blobs {
    /// Adds one and gives its descriptor.
    fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = format!("sha256:{}", sha256(&content));
        let descriptor =
            json!({ "mediaType": media_type, "digest": digest, "size": content.len() });
        self.0
            .insert(&path(&descriptor), Entry::file(content, 0o644));
        descriptor
    }
}

/// Where the blob of a descriptor is.
fn path(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replace(':', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, file: &str) -> Layer {
        let mut tree = Tree::default();
        tree.insert(file, Entry::file(file.as_bytes().to_vec(), 0o755));
        let mut tar = Vec::new();
        tree.write_tar(&mut tar).expect("writing to memory");
        Layer {
            name: name.into(),
            diff_id: sha256(&tar),
            key: String::new(),
            tree,
        }
    }

    fn definition() -> Definition {
        serde_saphyr::from_str("{image: coracle/os-x, optional: true, config: {cmd: [sh]}}")
            .expect("a definition")
    }

    fn json(tree: &Tree, path: &str) -> Value {
        let content = tree.content(path).expect(path);
        serde_json::from_slice(content).expect(path)
    }

    #[test]
    fn docker_and_oci_readers_find_the_same_image() {
        let (base, top) = (layer("base", "usr/bin/sh"), layer("x", "plugin"));
        let definition = definition();
        let image = Image {
            name: "x",
            definition: &definition,
            stack: vec![&base, &top],
            version: "v1",
        };
        let cache = tempfile::tempdir().expect("a directory");
        let archive = |level| image.archive(cache.path(), level).expect("an archive");
        let tar = fs::read(archive(QUICK)).expect("the archive");
        let tree = Tree::read_tar(&tar[..]).expect("a tar");

        let docker = &json(&tree, "manifest.json")[0];
        assert_eq!(docker["RepoTags"], json!(["coracle/os-x:v1"]));
        let named = &json(&tree, "index.json")["manifests"][0];
        assert_eq!(
            named["annotations"]["io.containerd.image.name"],
            "docker.io/coracle/os-x:v1"
        );
        let manifest = json(&tree, &path(named));
        assert_eq!(docker["Config"], path(&manifest["config"]));
        let config = json(&tree, &path(&manifest["config"]));
        assert_eq!(config["config"]["Cmd"], json!(["sh"]));
        for (at, layer) in [&base, &top].into_iter().enumerate() {
            let path = path(&manifest["layers"][at]);
            assert_eq!(docker["Layers"][at], path);
            let packed = tree.content(&path).expect("the layer");
            let plain = zstd::decode_all(&packed[..]).expect("zstd");
            assert_eq!(Tree::read_tar(&plain[..]).expect("a tar"), layer.tree);
            let diff_id = format!("sha256:{}", sha256(&plain));
            assert_eq!(config["rootfs"]["diff_ids"][at], diff_id);
        }

        fs::remove_file(archive(QUICK)).expect("the cached file");
        assert_eq!(fs::read(archive(QUICK)).expect("made anew"), tar);
        assert_ne!(archive(QUICK), archive(SMALL));
    }

    #[test]
    fn a_layer_that_is_not_what_its_digest_says_is_refused() {
        let wrong = Layer {
            diff_id: sha256(b""),
            ..layer("x", "plugin")
        };
        let image = Image {
            name: "x",
            definition: &definition(),
            stack: vec![&wrong],
            version: "v1",
        };
        let error = image.tree(Vec::new(), QUICK).expect_err("another digest");
        assert_eq!(error.to_string(), "layer x is not what its digest says");
    }
}
