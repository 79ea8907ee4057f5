use std::fs;
use std::path::{Path, PathBuf};

use coracle_toolbox::{Archive, Suite};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Error, Project, Result};

/// Programs that the tests call by name.
const APPLETS: &[&str] = &[
    "cat", "chroot", "date", "dd", "echo", "env", "false", "hostname", "httpd", "id", "kill", "ls",
    "mkdir", "mount", "nc", "ps", "rm", "seq", "sh", "sleep", "stty", "test", "touch", "true",
    "wget",
];

/// The image's name.
const NAME: &str = "busybox:test";

/// An archive for `docker load` with one image, `busybox:test`, made from Debian's busybox-static. It is kept in the cache.
///
/// # Errors
/// The package cannot be fetched, or the archive cannot be written.
pub fn busybox_archive(project: &Project) -> Result<PathBuf> {
    let cache = project.cache();
    let archive = Archive::open(&cache, Suite::Trixie, false)?;
    let debs = archive.fetch(&archive.packages(&["busybox-static"])?)?;
    let dir = cache.join("test-images");
    fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
    let tree = tempfile::tempdir_in(&dir).map_err(Error::io("create a directory in", &dir))?;
    for deb in &debs {
        coracle_toolbox::unpack(deb, tree.path())?;
    }
    let program = tree.path().join("usr/bin/busybox");
    let binary = fs::read(&program).map_err(Error::io("read", program))?;
    let image = write_image(&binary).map_err(Error::io("write", "an image archive"))?;
    let path = dir.join("busybox.tar");
    let fresh = tree.path().join("busybox.tar");
    fs::write(&fresh, image).map_err(Error::io("write", &fresh))?;
    fs::rename(&fresh, &path).map_err(Error::io("move", &fresh))?;
    Ok(path)
}

/// The format of `docker save`: manifest, configuration and one layer.
fn write_image(busybox: &[u8]) -> std::io::Result<Vec<u8>> {
    let layer = write_layer(busybox)?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256_hex(&layer))]},
    })
    .to_string();
    let config_name = format!("{}.json", sha256_hex(config.as_bytes()));
    let manifest =
        json!([{"Config": config_name, "RepoTags": [NAME], "Layers": ["layer.tar"]}]).to_string();
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, &config_name, config.as_bytes(), 0o644)?;
    append(&mut archive, "layer.tar", &layer, 0o644)?;
    append(&mut archive, "manifest.json", manifest.as_bytes(), 0o644)?;
    archive.into_inner()
}

fn write_layer(busybox: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    for (name, mode) in [
        ("bin/", 0o755),
        ("etc/", 0o755),
        ("tmp/", 0o1777),
        ("www/", 0o755),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        layer.append_data(&mut header, name, &[][..])?;
    }
    append(&mut layer, "bin/busybox", busybox, 0o755)?;
    append(
        &mut layer,
        "www/index.html",
        b"hello from a container\n",
        0o644,
    )?;
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        layer.append_link(&mut header, Path::new("bin").join(applet), "busybox")?;
    }
    layer.into_inner()
}

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    content: &[u8],
    mode: u32,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, name, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_has_what_docker_load_reads() {
        let image = write_image(b"#!").unwrap();
        let mut archive = tar::Archive::new(&image[..]);
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names[1..], ["layer.tar", "manifest.json"]);
        assert!(names[0].ends_with(".json"));
    }
}
