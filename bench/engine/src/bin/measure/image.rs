//! An image of a given size, the same each time.

use std::io::Write;
use std::sync::OnceLock;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// Its name in an archive.
pub const NAME: &str = "engine-bench:large";
const LAYERS: usize = 4;
const FILE: usize = 64 << 10;

/// The image as a registry has it.
pub struct Image {
    pub config: Vec<u8>,
    layers: Vec<Vec<u8>>,
    pub compressed: Vec<Vec<u8>>,
}

/// `sha256:…` of bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// The image of some megabytes, made once.
pub fn made(megabytes: usize) -> Result<&'static Image> {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    match IMAGE.get() {
        Some(image) => Ok(image),
        None => {
            let image = make(megabytes)?;
            Ok(IMAGE.get_or_init(|| image))
        }
    }
}

/// In layers of files of which half can be compressed, as in programs.
fn make(megabytes: usize) -> Result<Image> {
    let mut state = 1_u64;
    let mut layers = Vec::new();
    for number in 0..LAYERS {
        let mut layer = Builder::new(Vec::new());
        for file in 0..(megabytes * 1_000_000 / LAYERS / FILE).max(1) {
            let mut content = vec![b'x'; FILE];
            for word in content[..FILE / 2].chunks_exact_mut(8) {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            layer.append_data(&mut header, format!("layer-{number}/{file}"), &content[..])?;
        }
        layers.push(layer.into_inner()?);
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>()},
    });
    let mut compressed = Vec::new();
    for layer in &layers {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(layer)?;
        compressed.push(encoder.finish()?);
    }
    Ok(Image {
        config: config.to_string().into_bytes(),
        layers,
        compressed,
    })
}

impl Image {
    /// As `docker save` writes it.
    pub fn archive(&self) -> Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        let mut names = Vec::new();
        let mut append = |name: &str, content: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, content)
        };
        for (number, layer) in self.layers.iter().enumerate() {
            names.push(format!("{number}.tar"));
            append(&names[number], layer)?;
        }
        append("config.json", &self.config)?;
        let manifest = json!([{"Config": "config.json", "RepoTags": [NAME], "Layers": names}]);
        append("manifest.json", manifest.to_string().as_bytes())?;
        Ok(archive.into_inner()?)
    }
}
