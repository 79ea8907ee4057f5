//! Images for the tests, under the names that they have on Docker Hub, made of this machine's busybox.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// Where Debian's busybox-static has its program.
const BUSYBOX: [&str; 2] = ["/usr/bin/busybox", "/bin/busybox"];
/// An image of one layer.
#[derive(Debug)]
pub struct Image {
    /// `repository:tag`s.
    pub names: &'static [&'static str],
    /// Its configuration, as JSON.
    pub config: Vec<u8>,
    /// Its layer, as an uncompressed tar.
    pub layer: Vec<u8>,
}

/// The images of the tests.
///
/// # Errors
/// This machine has no static busybox.
pub fn images() -> Result<Vec<Image>> {
    let path = BUSYBOX
        .iter()
        .map(Path::new)
        .find(|path| path.exists())
        .context("there is no busybox (package busybox-static)")?;
    let program = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let output = Command::new(path).arg("--list").output()?;
    ensure!(output.status.success(), "busybox --list fails");
    let programs = String::from_utf8(output.stdout)?;
    let programs: Vec<&str> = programs
        .lines()
        .filter(|program| !matches!(*program, "busybox" | "nslookup"))
        .collect();
    let shell = json!({
        "Cmd": ["/bin/sh"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    });
    let hello = json!({"Cmd": ["echo", "Hello from Docker!"]});
    // Tests count what is freed: no two share a layer.
    let all: [(&[&str], _); 4] = [
        (&["alpine:3.10"], &shell),
        (&["alpine:latest"], &shell),
        (&["busybox:latest"], &shell),
        (&["hello-world:latest", "hello-world:linux"], &hello),
    ];
    all.into_iter()
        .map(|(names, settings)| {
            let layer = layer(&program, &programs, names[0])?;
            Ok(Image {
                names,
                config: config(&layer, settings),
                layer,
            })
        })
        .collect()
}

/// Writes the images as an archive for `docker load`.
///
/// # Errors
/// As [`images`]; the file cannot be written.
pub fn write(path: &PathBuf) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut archive = Builder::new(file);
    let mut manifest = Vec::new();
    for (number, image) in images()?.iter().enumerate() {
        let (config, layer) = (
            format!("{}.json", hex(&image.config)),
            format!("{number}.tar"),
        );
        append(&mut archive, &layer, &image.layer, 0o644)?;
        append(&mut archive, &config, &image.config, 0o644)?;
        manifest.push(json!({"Config": config, "RepoTags": image.names, "Layers": [layer]}));
    }
    let manifest = Value::from(manifest).to_string();
    append(&mut archive, "manifest.json", manifest.as_bytes(), 0o644)?;
    archive.into_inner()?.flush()?;
    Ok(())
}

/// The SHA-256 of a blob, in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn config(layer: &[u8], settings: &Value) -> Vec<u8> {
    let digest = format!("sha256:{}", hex(layer));
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [digest]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "ADD busybox"}],
    });
    config.to_string().into_bytes()
}

fn layer(busybox: &[u8], programs: &[&str], name: &str) -> io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for (name, mode) in [
        ("bin/", 0o755),
        ("etc/", 0o755),
        ("home/", 0o755),
        ("mnt/", 0o755),
        ("root/", 0o700),
        ("tmp/", 0o1777),
        ("var/", 0o755),
        ("var/opt/", 0o755),
    ] {
        let mut directory = header(EntryType::Directory, 0, mode);
        layer.append_data(&mut directory, name, io::empty())?;
    }
    append(&mut layer, "bin/busybox", busybox, 0o755)?;
    for program in programs {
        let mut link = header(EntryType::Symlink, 0, 0o777);
        layer.append_link(&mut link, format!("bin/{program}"), "busybox")?;
    }
    // Debian's busybox has no nslookup.
    let nslookup = b"#!/bin/sh\nexec ping -c 1 -W 5 \"$1\"\n";
    append(&mut layer, "bin/nslookup", nslookup, 0o755)?;
    for (name, text) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\n\
             postgres:x:70:70::/var/lib/postgresql:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        ),
        (
            "etc/group",
            "root:x:0:root\npostgres:x:70:\nusers:x:100:\nnobody:x:65534:\n",
        ),
        ("etc/image", name),
    ] {
        append(&mut layer, name, text.as_bytes(), 0o644)?;
    }
    layer.into_inner()
}

fn append(
    archive: &mut Builder<impl Write>,
    name: &str,
    content: &[u8],
    mode: u32,
) -> io::Result<()> {
    let mut file = header(EntryType::Regular, content.len() as u64, mode);
    archive.append_data(&mut file, name, content)
}

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(1_767_225_600);
    header
}
