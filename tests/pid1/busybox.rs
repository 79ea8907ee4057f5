//! A small image in the format of `docker save`, and as part of a system image, made of the machine's busybox (Debian: busybox-static).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

const PROGRAMS: &[&str] = &[
    "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "echo", "env", "false", "find",
    "grep", "head", "hostname", "id", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount",
    "mv", "nc", "ps", "pwd", "readlink", "rm", "sed", "seq", "sh", "sleep", "sort", "stat", "stty",
    "tail", "test", "top", "touch", "tr", "true", "umount", "uname", "wc", "which", "yes", "tee",
    "ip", "sync", "usleep", "printf", "tty", "ping", "wget", "httpd", "nslookup", "udhcpc",
];

/// Writes the archive. The image is `busybox:latest`.
pub fn write_archive(path: &Path) -> io::Result<()> {
    let layer = layer(&fs::read("/bin/busybox")?)?;
    write_image(path, "busybox:latest", &config(&layer), &[layer])
}

/// Writes what the system image has in `lib/coracle`: the same image as `coracle/busybox:v1`, unpacked.
pub fn write_bundle(root: &Path) -> io::Result<()> {
    let layer = layer(&fs::read("/bin/busybox")?)?;
    let tree = root.join("layers/base");
    fs::create_dir_all(&tree)?;
    let mut unpack = Command::new("tar")
        .args([
            "-xpf",
            "-",
            "--numeric-owner",
            "--delay-directory-restore",
            "-C",
        ])
        .arg(tree)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut input = unpack.stdin.take().expect("piped");
    input.write_all(&layer)?;
    drop(input);
    assert!(unpack.wait()?.success());
    let config = config(&layer).to_string();
    let hex = hex(config.as_bytes());
    let file = format!("{hex}.json");
    let images = root.join("images");
    fs::create_dir(&images)?;
    fs::write(images.join(&file), config)?;
    let index = json!({"images": [{
        "names": ["coracle/busybox:v1"], "id": format!("sha256:{hex}"), "config": file, "layers": ["base"],
    }]});
    fs::write(images.join("index.json"), index.to_string())
}

fn config(layer: &[u8]) -> serde_json::Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["sh"],
            "Labels": { "maker": "test" },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(layer))] },
        "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "ADD busybox" }],
    })
}

/// Writes an archive of `docker save` with one image.
pub fn write_image(
    path: &Path,
    name: &str,
    config: &serde_json::Value,
    layers: &[Vec<u8>],
) -> io::Result<()> {
    let config = config.to_string();
    let config_name = format!("{}.json", hex(config.as_bytes()));
    let mut archive = Builder::new(std::fs::File::create(path)?);
    let mut files = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let file = format!("{number}.tar");
        append(&mut archive, &file, layer)?;
        files.push(file);
    }
    append(&mut archive, &config_name, config.as_bytes())?;
    let manifest = json!([{ "Config": config_name, "RepoTags": [name], "Layers": files }]);
    append(
        &mut archive,
        "manifest.json",
        manifest.to_string().as_bytes(),
    )?;
    archive.into_inner()?.flush()
}

/// Its entries are in the order of their paths, as in layers of the image builder.
fn layer(busybox: &[u8]) -> io::Result<Vec<u8>> {
    let mut entries: BTreeMap<String, (Header, Content<'_>)> = BTreeMap::new();
    for (name, mode) in [
        ("bin/", 0o755),
        ("etc/", 0o755),
        ("tmp/", 0o1777),
        ("root/", 0o700),
        ("data/", 0o755),
        ("var/", 0o755),
        ("dev/", 0o755),
        ("proc/", 0o755),
        ("sys/", 0o755),
    ] {
        let header = header(EntryType::Directory, 0, mode);
        entries.insert(name.into(), (header, Content::Bytes(&[])));
    }
    for name in PROGRAMS {
        let header = header(EntryType::Symlink, 0, 0o777);
        entries.insert(format!("bin/{name}"), (header, Content::Link("busybox")));
    }
    for (name, content, mode) in [
        ("bin/busybox", busybox, 0o755),
        (
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nrancher:x:1100:1100::/home/rancher:/bin/sh\n",
            0o644,
        ),
        (
            "etc/group",
            b"root:x:0:\nrancher:x:1100:\ndocker:x:1101:rancher\n",
            0o644,
        ),
        ("data/from-image", b"image\n", 0o640),
        ("bin/not-executable", b"#!/bin/sh\n", 0o644),
        ("bin/bad-interpreter", b"#!/no/such/interpreter\n", 0o755),
    ] {
        let header = header(EntryType::Regular, content.len() as u64, mode);
        entries.insert(name.into(), (header, Content::Bytes(content)));
    }
    let mut layer = Builder::new(Vec::new());
    for (name, (mut header, content)) in entries {
        match content {
            Content::Bytes(bytes) => layer.append_data(&mut header, name, bytes)?,
            Content::Link(target) => layer.append_link(&mut header, name, target)?,
        }
    }
    layer.into_inner()
}

enum Content<'a> {
    Bytes(&'a [u8]),
    Link(&'a str),
}

pub fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_767_225_600);
    header
}

pub fn append(archive: &mut Builder<std::fs::File>, name: &str, content: &[u8]) -> io::Result<()> {
    archive.append_data(
        &mut header(EntryType::Regular, content.len() as u64, 0o644),
        name,
        content,
    )
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
