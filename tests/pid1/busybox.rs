//! A small image in the format of `docker save`, made of the machine's busybox (Debian: busybox-static).

use std::io::{self, Write};
use std::path::Path;

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
    let busybox = std::fs::read("/bin/busybox")?;
    let layer = layer(&busybox)?;
    let diff_id = format!("sha256:{}", hex(&layer));
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["sh"],
            "Labels": { "maker": "test" },
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "ADD busybox" }],
    });
    write_image(path, "busybox:latest", &config, &[layer])
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

fn layer(busybox: &[u8]) -> io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
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
        let mut header = header(EntryType::Directory, 0, mode);
        layer.append_data(&mut header, name, io::empty())?;
    }
    let mut program = header(EntryType::Regular, busybox.len() as u64, 0o755);
    layer.append_data(&mut program, "bin/busybox", busybox)?;
    for name in PROGRAMS {
        layer.append_link(
            &mut header(EntryType::Symlink, 0, 0o777),
            format!("bin/{name}"),
            "busybox",
        )?;
    }
    for (name, text, mode) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nrancher:x:1100:1100::/home/rancher:/bin/sh\n",
            0o644,
        ),
        (
            "etc/group",
            "root:x:0:\nrancher:x:1100:\ndocker:x:1101:rancher\n",
            0o644,
        ),
        ("data/from-image", "image\n", 0o640),
        ("bin/not-executable", "#!/bin/sh\n", 0o644),
        ("bin/bad-interpreter", "#!/no/such/interpreter\n", 0o755),
    ] {
        let mut file = header(EntryType::Regular, text.len() as u64, mode);
        layer.append_data(&mut file, name, text.as_bytes())?;
    }
    layer.into_inner()
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
