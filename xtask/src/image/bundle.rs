//! The image list inside `system.erofs`: OCI configurations and `index.json` (ARCHITECTURE.md, "system.erofs").

use serde_json::{Value, json};

use super::definition::Definition;
use super::digest::sha256;
use super::layer::Layer;
use super::tree::{Entry, Tree};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The time stamp of all images, RFC 3339 form of [`super::tree::SOURCE_DATE_EPOCH`].
pub const CREATED: &str = "2026-01-01T00:00:00Z";

/// `lib/coracle/layers/<name>`.
pub fn layer(layer: &Layer) -> Tree {
    let mut tree = Tree::default();
    let path = format!("lib/coracle/layers/{}", layer.name);
    tree.insert(&path, Entry::directory(0o755));
    tree.overlay(&path, layer.tree.clone());
    tree
}

/// `lib/coracle/images` of all images.
pub fn images(
    images: &[(Definition, usize)],
    layers: &[Layer],
    version: &str,
) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    let mut index = Vec::new();
    for (definition, top) in images {
        let stack = stack(definition, layers, &layers[*top]);
        let config = serde_json::to_vec(&config(definition, &stack, version))?;
        let hex = sha256(&config);
        tree.insert(
            &format!("lib/coracle/images/{hex}.json"),
            Entry::file(config, 0o644),
        );
        index.push(json!({
            "names": [format!("{}:{version}", definition.image)],
            "id": format!("sha256:{hex}"),
            "config": format!("{hex}.json"),
            "layers": stack.iter().map(|layer| &layer.name).collect::<Vec<_>>(),
            "size": stack.iter().map(|layer| layer.tree.size()).sum::<u64>(),
        }));
    }
    let mut index = serde_json::to_vec_pretty(&json!({ "images": index }))?;
    index.push(b'\n');
    tree.insert("lib/coracle/images/index.json", Entry::file(index, 0o644));
    Ok(tree)
}

/// The layers of an image, lowest first.
pub fn stack<'a>(definition: &Definition, layers: &'a [Layer], top: &'a Layer) -> Vec<&'a Layer> {
    definition
        .parents
        .iter()
        .filter_map(|parent| layers.iter().find(|layer| layer.name == *parent))
        .chain([top])
        .collect()
}

/// OCI image-spec, config.md.
pub fn config(definition: &Definition, stack: &[&Layer], version: &str) -> Value {
    let own = &definition.config;
    let mut config = serde_json::Map::new();
    let env: Vec<&str> = std::iter::once(PATH)
        .chain(own.env.iter().map(String::as_str))
        .collect();
    config.insert("Env".into(), json!(env));
    if !own.entrypoint.is_empty() {
        config.insert("Entrypoint".into(), json!(own.entrypoint));
    }
    if !own.cmd.is_empty() {
        config.insert("Cmd".into(), json!(own.cmd));
    }
    if !own.volumes.is_empty() {
        let volumes: serde_json::Map<_, _> = own
            .volumes
            .iter()
            .map(|path| (path.clone(), json!({})))
            .collect();
        config.insert("Volumes".into(), Value::Object(volumes));
    }
    config.insert("WorkingDir".into(), json!("/"));
    config.insert(
        "Labels".into(),
        json!({ "org.opencontainers.image.version": version }),
    );
    json!({
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {
            "type": "layers",
            "diff_ids": stack.iter().map(|layer| format!("sha256:{}", layer.diff_id)).collect::<Vec<_>>(),
        },
        "history": stack
            .iter()
            .map(|layer| json!({ "created": CREATED, "created_by": format!("cargo xtask image: {}", layer.name) }))
            .collect::<Vec<_>>(),
    })
}
