//! The storage of a registry (Debian: docker-registry) that mirrors Docker Hub, as far as the tests know it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::archive::{self, hex};

/// Media type of the manifests.
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Writes the storage and a configuration for `docker-registry serve` to `dir`; the registry will listen on `address`.
///
/// # Errors
/// The images cannot be made, or a file cannot be written.
pub fn write(dir: &Path, address: &str) -> Result<()> {
    let root = dir.join("docker/registry/v2");
    for image in archive::images()? {
        for blob in [&image.config, &image.layer] {
            write_blob(&root, blob)?;
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": format!("sha256:{}", hex(&image.config)),
                "size": image.config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
                "digest": format!("sha256:{}", hex(&image.layer)),
                "size": image.layer.len(),
            }],
        })
        .to_string()
        .into_bytes();
        write_blob(&root, &manifest)?;
        for name in image.names {
            let (repository, tag) = name.split_once(':').context("a name without tag")?;
            let repository = root.join("repositories/library").join(repository);
            for blob in [&image.config, &image.layer] {
                link(&repository.join("_layers/sha256").join(hex(blob)), blob)?;
            }
            let digest = hex(&manifest);
            let manifests = repository.join("_manifests");
            let tag = manifests.join("tags").join(tag);
            link(&manifests.join("revisions/sha256").join(&digest), &manifest)?;
            link(&tag.join("current"), &manifest)?;
            link(&tag.join("index/sha256").join(&digest), &manifest)?;
        }
    }
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n",
        dir.display()
    );
    write_file(&dir.join("config.yml"), config.as_bytes())
}

fn write_blob(root: &Path, blob: &[u8]) -> Result<()> {
    let digest = hex(blob);
    let path = root
        .join("blobs/sha256")
        .join(&digest[..2])
        .join(digest)
        .join("data");
    write_file(&path, blob)
}

fn link(dir: &Path, blob: &[u8]) -> Result<()> {
    write_file(
        &dir.join("link"),
        format!("sha256:{}", hex(blob)).as_bytes(),
    )
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
