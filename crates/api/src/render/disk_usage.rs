//! Disk usage: `GET /system/df`.

use std::collections::HashMap;
use std::path::PathBuf;

use coracle_image::Image;
use serde_json::{Value, json};

/// One kind of object: how many there are, how many are in use, and their bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// How many of the objects are in use.
    pub active: usize,
    /// Bytes of all.
    pub total: u64,
    /// Bytes of those that are not in use.
    pub reclaimable: u64,
    /// The objects, as in their lists.
    pub items: Vec<Value>,
}

impl Usage {
    /// Adds an object.
    pub fn add(&mut self, item: Value, size: u64, in_use: bool) {
        self.items.push(item);
        self.total += size;
        if in_use {
            self.active += 1;
        } else {
            self.reclaimable += size;
        }
    }

    fn summary(&self, verbose: bool) -> Value {
        let mut out = json!({
            "ActiveCount": self.active,
            "TotalCount": self.items.len(),
            "TotalSize": self.total,
            "Reclaimable": self.reclaimable,
        });
        if verbose {
            out["Items"] = json!(self.items);
        }
        out
    }
}

/// All kinds; those that were not asked for are absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DiskUsage {
    /// Images; the total counts shared layers once.
    pub images: Option<Usage>,
    /// Containers.
    pub containers: Option<Usage>,
    /// Volumes.
    pub volumes: Option<Usage>,
    /// Whether the build cache was asked for: there is none.
    pub build_cache: bool,
}

/// The whole object: the fields of API 1.52, with `verbose` also the objects, and those that older clients read.
pub fn disk_usage(usage: &DiskUsage, verbose: bool) -> Value {
    let mut out = json!({});
    let none = Some(Usage::default()).filter(|_| usage.build_cache);
    let kinds = [
        ("ImageUsage", "Images", &usage.images),
        ("ContainerUsage", "Containers", &usage.containers),
        ("VolumeUsage", "Volumes", &usage.volumes),
        ("BuildCacheUsage", "BuildCache", &none),
    ];
    for (summary, list, usage) in kinds {
        if let Some(usage) = usage {
            out[summary] = usage.summary(verbose);
            out[list] = json!(usage.items);
        }
    }
    if let Some(images) = &usage.images {
        out["LayersSize"] = images.total.into();
    }
    out["BuilderSize"] = 0.into();
    out
}

/// Bytes of all layers, each counted once.
pub fn layers_size(images: &[Image]) -> u64 {
    let mut known: HashMap<PathBuf, u64> = HashMap::new();
    let mut unknown = 0;
    for image in images {
        if image.layers.len() == image.layer_sizes.len() {
            known.extend(
                image
                    .layers
                    .iter()
                    .cloned()
                    .zip(image.layer_sizes.iter().copied()),
            );
        } else {
            unknown += image.size;
        }
    }
    known.values().sum::<u64>() + unknown
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::SystemDataUsageResponse;
    use coracle_image::{Digest, ImageConfig};

    use super::*;

    #[test]
    fn old_and_new_clients_find_their_fields() {
        let mut images = Usage::default();
        images.add(json!({"Id": "a"}), 100, true);
        images.add(json!({"Id": "b"}), 20, false);
        let usage = DiskUsage {
            images: Some(images),
            build_cache: true,
            ..DiskUsage::default()
        };
        let value = disk_usage(&usage, false);
        serde_json::from_value::<SystemDataUsageResponse>(value.clone()).unwrap();
        let summary =
            json!({"ActiveCount": 1, "TotalCount": 2, "TotalSize": 120, "Reclaimable": 20});
        assert_eq!(value["ImageUsage"], summary);
        assert_eq!(
            (&value["LayersSize"], &value["BuildCache"]),
            (&json!(120), &json!([]))
        );
        assert_eq!(value["Images"], json!([{"Id": "a"}, {"Id": "b"}]));
        assert_eq!(value.get("Volumes"), None);
        assert_eq!(
            disk_usage(&usage, true)["ImageUsage"]["Items"][1]["Id"],
            "b"
        );
    }

    #[test]
    fn shared_layers_count_once() {
        let image = |layers: &[&str], layer_sizes: &[u64], size| Image {
            id: Digest::of(b""),
            config: ImageConfig::default(),
            tags: Vec::new(),
            digests: Vec::new(),
            layers: layers.iter().map(PathBuf::from).collect(),
            layer_sizes: layer_sizes.to_vec(),
            size,
            bundled: false,
        };
        let images = [
            image(&["base", "a"], &[100, 1], 101),
            image(&["base", "b"], &[100, 2], 102),
            image(&["bundled"], &[], 50),
        ];
        assert_eq!(layers_size(&images), 153);
    }
}
