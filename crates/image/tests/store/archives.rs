//! Image archives as `docker save` and others make them.

use std::io::Write as _;

use coracle_image::Digest;
use lzma_rust2::{XzOptions, XzWriter};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

/// An uncompressed layer archive with these files.
pub fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        append(&mut builder, path, content.as_bytes());
    }
    builder.into_inner().unwrap()
}

pub fn config(layers: &[&[u8]], created: &str) -> Vec<u8> {
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|layer| Digest::of(layer).to_string())
        .collect();
    json!({
        "architecture": "amd64", "os": "linux", "created": created,
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": null},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "made up"}],
    })
    .to_string()
    .into_bytes()
}

/// The style of Docker before 25: the configuration and directories at the top, repeated layers as links.
pub fn legacy(config: &[u8], layers: &[&[u8]], names: Value) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut paths = Vec::new();
    for (index, content) in layers.iter().enumerate() {
        let path = format!("{index:064x}/layer.tar");
        match layers[..index].iter().position(|other| other == content) {
            Some(same) => link(&mut builder, &path, &format!("../{same:064x}/layer.tar")),
            None => append(&mut builder, &path, content),
        }
        append(&mut builder, &format!("{index:064x}/VERSION"), b"1.0");
        paths.push(path);
    }
    let name = format!("{}.json", Digest::of(config).hex());
    append(&mut builder, &name, config);
    let manifest = json!([{"Config": name, "RepoTags": names, "Layers": paths}]);
    append(
        &mut builder,
        "manifest.json",
        manifest.to_string().as_bytes(),
    );
    builder.into_inner().unwrap()
}

/// The style of Docker 25 and later: an OCI layout with a `manifest.json`; layers may be compressed.
pub fn layout(config: &[u8], blobs: &[&[u8]], names: Value) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let path = |content: &[u8]| format!("blobs/sha256/{}", Digest::of(content).hex());
    append(&mut builder, &path(config), config);
    for blob in blobs {
        append(&mut builder, &path(blob), blob);
    }
    append(&mut builder, "index.json", b"{}");
    let paths: Vec<_> = blobs.iter().map(|blob| path(blob)).collect();
    let manifest =
        json!([{"Config": path(config), "RepoTags": names, "Layers": paths, "LayerSources": {}}]);
    append(
        &mut builder,
        "manifest.json",
        manifest.to_string().as_bytes(),
    );
    append(
        &mut builder,
        "oci-layout",
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    builder.into_inner().unwrap()
}

/// An OCI layout without `manifest.json`: an entry of the index per name.
pub fn oci(config: &[u8], blobs: &[&[u8]], names: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut add = |media_type: &str, content: &[u8]| {
        let digest = Digest::of(content);
        let path = format!("blobs/sha256/{}", digest.hex());
        append(&mut builder, &path, content);
        let media_type = format!("application/vnd.oci.image.{media_type}");
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    };
    let layers: Vec<_> = blobs
        .iter()
        .map(|blob| add("layer.v1.tar+gzip", blob))
        .collect();
    let config = add("config.v1+json", config);
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
    let manifest = add("manifest.v1+json", manifest.to_string().as_bytes());
    let entry = |name: &&str| {
        let mut entry = manifest.clone();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        entry
    };
    let entries: Vec<_> = names.iter().map(entry).collect();
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    append(&mut builder, "index.json", index.as_bytes());
    let version = br#"{"imageLayoutVersion":"1.0.0"}"#;
    append(&mut builder, "oci-layout", version);
    builder.into_inner().unwrap()
}

pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        append(&mut builder, path, content);
    }
    builder.into_inner().unwrap()
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn append(builder: &mut Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, content).unwrap();
}

fn link(builder: &mut Builder<Vec<u8>>, path: &str, target: &str) {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, path, target).unwrap();
}
