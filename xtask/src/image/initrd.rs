//! The initrd: `coracle-early` as `/init`, the modules to find the root image, and a static busybox for the recovery shell.

use std::sync::Arc;

use anyhow::Context;

use super::cpio;
use super::kernel::Kernel;
use super::layer;
use super::module;
use super::tree::{Entry, Tree};

/// Compression level: the initrd is unpacked at every boot but made once.
const LEVEL: i32 = 19;

/// Directories that init expects to be there.
const DIRECTORIES: &[&str] = &[
    "dev", "etc", "mnt", "proc", "root", "run", "state", "sys", "tmp", "usr/bin", "usr/lib", "var",
];

/// Makes the initrd's tree.
pub fn tree(
    binary: &Arc<[u8]>,
    busybox: &[u8],
    kernel: &Kernel,
    system_uuid: &str,
) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    for path in DIRECTORIES {
        tree.insert(path, Entry::directory(0o755));
    }
    // The kernel opens its first console before init runs.
    tree.insert(
        "dev/console",
        Entry {
            kind: super::tree::Kind::CharDevice(5, 1),
            ..Entry::file(Vec::new(), 0o600)
        },
    );
    // No /sbin: while the kernel starts it would call /sbin/modprobe for two dozen modules that it can do without, a tenth of the time
    // until init.
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("usr/sbin", "bin")] {
        tree.insert(link, Entry::symlink(target));
    }
    tree.insert("usr/bin/coracle", Entry::file(binary.clone(), 0o755));
    tree.insert("init", Entry::symlink("/usr/bin/coracle"));
    // busybox has one too, which cannot read these modules.
    tree.insert("usr/bin/modprobe", Entry::symlink("coracle"));
    tree.insert("usr/bin/busybox", Entry::file(busybox.to_vec(), 0o755));
    for applet in layer::applets(busybox)? {
        let name = applet.rsplit('/').next().unwrap_or(&applet).to_owned();
        tree.insert_missing(&format!("usr/bin/{name}"), Entry::symlink("busybox"));
    }
    tree.insert(
        "etc/coracle/system.uuid",
        Entry::file(format!("{system_uuid}\n").into_bytes(), 0o644),
    );
    tree.insert(
        "etc/passwd",
        Entry::file(b"root:x:0:0:root:/root:/bin/sh\n".to_vec(), 0o644),
    );
    tree.insert("etc/group", Entry::file(b"root:x:0:\n".to_vec(), 0o644));
    tree.overlay("", kernel.initrd.clone());
    Ok(tree)
}

/// Its parts, for the table of sizes.
pub fn parts(tree: &Tree) -> Vec<(&'static str, Tree)> {
    let names = ["coracle", "modules", "recovery shell"];
    let mut parts: Vec<(&str, Tree)> = names.map(|name| (name, Tree::default())).into();
    for (path, entry) in tree.iter() {
        let at = match path {
            "usr/bin/coracle" => 0,
            _ if path.starts_with("usr/lib/modules/") => 1,
            _ => 2,
        };
        parts[at].1.insert(path, entry.clone());
    }
    parts
}

/// Packs it as two archives, which the kernel unpacks one after the other: what is compressed already as it is, which costs no time at
/// boot, and behind it everything else, compressed.
pub fn pack(tree: &Tree) -> anyhow::Result<Vec<u8>> {
    let is_packed = |path: &str| path.ends_with(module::PACKED);
    let (mut packed, mut rest) = (Tree::default(), tree.clone());
    for (path, entry) in tree.iter().filter(|(path, _)| is_packed(path)) {
        packed.insert(path, entry.clone());
    }
    rest.retain(|path, _| !is_packed(path));
    let mut archives = Vec::new();
    cpio::write(&packed, &mut archives)?;
    let mut archive = Vec::new();
    cpio::write(&rest, &mut archive)?;
    archives.extend(zstd::bulk::compress(&archive, LEVEL).context("cannot compress the initrd")?);
    Ok(archives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_already_is_unpacked_first_and_is_not_compressed_again() {
        let mut tree = Tree::default();
        tree.insert("usr/bin/coracle", Entry::file(b"program".to_vec(), 0o755));
        let module = "usr/lib/modules/6/ext4.ko.zst";
        tree.insert(module, Entry::file(b"module".to_vec(), 0o644));
        let mut first = Tree::default();
        first.insert(module, Entry::file(b"module".to_vec(), 0o644));
        let mut second = tree.clone();
        second.remove(module);
        let archive = |tree: &Tree| {
            let mut archive = Vec::new();
            cpio::write(tree, &mut archive).map(|()| archive).unwrap()
        };
        let packed = pack(&tree).unwrap();
        let (front, rest) = packed.split_at(archive(&first).len());
        assert_eq!(front, archive(&first));
        assert_eq!(zstd::decode_all(rest).unwrap(), archive(&second));
    }
}
