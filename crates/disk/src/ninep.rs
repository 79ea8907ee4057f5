//! 9p shares that a virtual machine offers (kernel: net/9p/trans_virtio.c, attribute `mount_tag`).

use std::fs;

use crate::read::text;

/// The mount tags of all virtio 9p devices, by name. Their driver must be loaded.
#[must_use]
pub fn ninep_tags() -> Vec<String> {
    let Ok(devices) = fs::read_dir("/sys/bus/virtio/drivers/9pnet_virtio") else {
        return Vec::new();
    };
    let mut tags: Vec<_> = devices
        .flatten()
        .filter_map(|device| fs::read(device.path().join("mount_tag")).ok())
        .map(|tag| text(&tag))
        .collect();
    tags.sort();
    tags
}
