//! Reading both roots of the store.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Names, Stored};
use crate::bundle::{self, Index};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::Error;
use crate::files::{Layout, remove_leftovers, unfinished};
use crate::reference::Reference;

/// `images/repositories.json`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Repositories {
    names: Names,
}

pub fn render_names(names: &Names) -> Vec<u8> {
    // A map of strings to strings cannot fail to become JSON.
    serde_json::to_vec_pretty(&Repositories {
        names: names.clone(),
    })
    .unwrap_or_default()
}

/// Reads everything; images that are damaged are left out and told about.
pub fn open(bundled: Option<&Path>, layout: &Layout) -> Result<(Catalogue, Vec<String>), Error> {
    for directory in [layout.images(), layout.layers()] {
        fs::create_dir_all(&directory).map_err(Error::io("make", &directory))?;
    }
    let names = read_names(layout)?;
    for id in unfinished(layout)? {
        if !names.values().any(|named| *named == id) {
            let path = layout.config(&id);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(Error::io("remove", path))?,
            }
        }
    }
    for directory in [layout.images(), layout.layers()] {
        remove_leftovers(&directory)?;
    }
    let (mut images, mut problems) = (BTreeMap::new(), Vec::new());
    let bundled_names = match bundled {
        Some(root) => read_bundled(root, &mut images)?,
        None => Names::new(),
    };
    let directory = layout.images();
    for entry in fs::read_dir(&directory).map_err(Error::io("read", &directory))? {
        let name = entry.map_err(Error::io("read", &directory))?.file_name();
        let id = name
            .to_str()
            .and_then(|n| n.strip_suffix(".json"))
            .and_then(|hex| format!("sha256:{hex}").parse().ok());
        let Some(id) = id else { continue };
        let bundled = |diff_id: &Digest| bundled_layer(&images, diff_id);
        match read_image(layout, &id, bundled) {
            Ok(image) => {
                images.entry(id).or_insert(image);
            }
            Err(error) => problems.push(format!("image {id} is left out: {error}")),
        }
    }
    let names = names
        .into_iter()
        .filter(|(_, id)| images.contains_key(id))
        .collect();
    Ok((Catalogue::new(images, names, bundled_names), problems))
}

/// The names of the writable store.
pub fn read_names(layout: &Layout) -> Result<Names, Error> {
    match read_json::<Repositories>(&layout.repositories()) {
        Ok(file) => Ok(file.names),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Names::new())
        }
        Err(error) => Err(error),
    }
}

/// The tree of a layer that a bundled image has: an image that was made from a container of it begins with its layers.
pub fn bundled_layer(images: &BTreeMap<Digest, Stored>, diff_id: &Digest) -> Option<PathBuf> {
    images
        .values()
        .filter(|image| image.bundled)
        .flat_map(|image| image.config.rootfs.diff_ids.iter().zip(&image.layers))
        .find(|(found, _)| *found == diff_id)
        .map(|(_, tree)| tree.clone())
}

/// One image of the writable store; `bundled` finds layers that only the other one has, which count as 0 bytes: they
/// take no place of their own.
pub fn read_image(
    layout: &Layout,
    id: &Digest,
    bundled: impl Fn(&Digest) -> Option<PathBuf>,
) -> Result<Stored, Error> {
    let path = layout.config(id);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    if Digest::of(&bytes) != *id {
        return Err(Error::Malformed {
            path,
            reason: "its content is not what its name says".to_owned(),
        });
    }
    let config: ImageConfig = serde_json::from_slice(&bytes).map_err(|e| Error::Malformed {
        path,
        reason: e.to_string(),
    })?;
    let (mut layers, mut layer_sizes) = (Vec::new(), Vec::new());
    for diff_id in &config.rootfs.diff_ids {
        let layer = layout.layer(diff_id);
        if !layer.exists()
            && let Some(tree) = bundled(diff_id)
        {
            layers.push(tree);
            layer_sizes.push(0);
            continue;
        }
        let path = Layout::size(&layer);
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let size: u64 = text.trim().parse().map_err(|_| Error::Malformed {
            path,
            reason: "not a number".to_owned(),
        })?;
        layers.push(Layout::tree(&layer));
        layer_sizes.push(size);
    }
    Ok(Stored {
        size: layer_sizes.iter().sum(),
        config,
        layers,
        layer_sizes,
        bundled: false,
    })
}

/// The bundled images below `root`; they are checked by dm-verity or the builder, not here.
pub fn read_bundled(root: &Path, images: &mut BTreeMap<Digest, Stored>) -> Result<Names, Error> {
    let mut names = Names::new();
    let path = root.join("images").join(bundle::INDEX_FILE);
    for entry in read_json::<Index>(&path)?.images {
        let malformed = |reason: String| Error::Malformed {
            path: path.clone(),
            reason,
        };
        let config: ImageConfig = read_json(&root.join("images").join(&entry.config))?;
        if config.rootfs.diff_ids.len() != entry.layers.len() {
            return Err(malformed(format!(
                "image {} has {} layers, its configuration {}",
                entry.id,
                entry.layers.len(),
                config.rootfs.diff_ids.len()
            )));
        }
        for name in entry.names {
            let full = Reference::parse(&name)
                .map_err(|error| malformed(format!("name {name}: {error}")))?;
            names.insert(full.with_default_tag().to_string(), entry.id.clone());
        }
        let layers = entry
            .layers
            .iter()
            .map(|layer| root.join("layers").join(layer))
            .collect();
        let stored = Stored {
            config,
            layers,
            layer_sizes: vec![],
            size: entry.size,
            bundled: true,
        };
        images.insert(entry.id, stored);
    }
    Ok(names)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
