//! A file tree in memory: what packages unpack to, what goes into layers.
//!
//! Paths have no leading slash. The map is sorted, so everything written from a tree has one possible order.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use coracle_image::bundle::layer;

use super::digest::Digest;

/// Time stamp of every file in every image, seconds since 1970: 2026-01-01. Fixed, so that equal content gives equal images.
pub const SOURCE_DATE_EPOCH: u64 = 1_767_225_600;

/// One entry of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Arc<[u8]>),
    /// A symbolic link and its target.
    Symlink(String),
    /// A character device's major and minor number.
    CharDevice(u32, u32),
}

impl Entry {
    /// A directory of root.
    pub fn directory(mode: u32) -> Self {
        Self {
            kind: Kind::Directory,
            mode,
            uid: 0,
            gid: 0,
        }
    }

    /// A file of root.
    pub fn file(content: impl Into<Arc<[u8]>>, mode: u32) -> Self {
        Self {
            kind: Kind::File(content.into()),
            mode,
            uid: 0,
            gid: 0,
        }
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self {
            kind: Kind::Symlink(target.into()),
            mode: 0o777,
            uid: 0,
            gid: 0,
        }
    }

    /// Content length of a file, 0 for everything else.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.len() as u64,
            _ => 0,
        }
    }
}

/// A file tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// Entries in path order; parents come before their children.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// The entry at exactly this path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The entry at this path, for changing it.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Entry> {
        self.entries.get_mut(path)
    }

    /// The content of the file at this path.
    pub fn content(&self, path: &str) -> Option<&Arc<[u8]>> {
        match &self.entries.get(path)?.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Adds or replaces an entry and makes its missing parents. A directory never replaces another directory's attributes
    /// with the defaults of a missing parent.
    pub fn insert(&mut self, path: &str, entry: Entry) {
        let mut end = 0;
        while let Some(slash) = path[end..].find('/') {
            end += slash;
            self.entries
                .entry(path[..end].to_owned())
                .or_insert_with(|| Entry::directory(0o755));
            end += 1;
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Adds an entry only where there is none.
    pub fn insert_missing(&mut self, path: &str, entry: Entry) {
        if !self.entries.contains_key(path) {
            self.insert(path, entry);
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, path: &str) -> Option<Entry> {
        self.entries.remove(path)
    }

    /// Keeps the entries for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Entry) -> bool) {
        self.entries.retain(|path, entry| keep(path, entry));
    }

    /// Removes directories that `doubtful` names and that hold nothing.
    pub fn prune_empty(&mut self, doubtful: impl Fn(&str) -> bool) {
        loop {
            let parents: std::collections::BTreeSet<&str> = self
                .entries
                .keys()
                .filter_map(|path| path.rsplit_once('/').map(|(parent, _)| parent))
                .collect();
            let empty: Vec<String> = self
                .entries
                .iter()
                .filter(|(path, entry)| {
                    entry.kind == Kind::Directory
                        && !parents.contains(path.as_str())
                        && doubtful(path)
                })
                .map(|(path, _)| path.clone())
                .collect();
            if empty.is_empty() {
                return;
            }
            for path in empty {
                self.entries.remove(&path);
            }
        }
    }

    /// Lays another tree over this one, below `prefix` (empty: at the root).
    pub fn overlay(&mut self, prefix: &str, other: Tree) {
        for (path, entry) in other.entries {
            let path = if prefix.is_empty() {
                path
            } else {
                format!("{prefix}/{path}")
            };
            self.insert(&path, entry);
        }
    }

    /// Sum of the file sizes.
    pub fn size(&self) -> u64 {
        self.entries.values().map(Entry::size).sum()
    }

    /// Reads a tar stream.
    pub fn read_tar(reader: impl Read) -> anyhow::Result<Self> {
        Self::read_tar_with(reader, clean)
    }

    /// Reads a package's tar stream. Paths below `bin sbin lib lib64` go below `usr`, where today's Debian expects them.
    pub fn read_package_tar(reader: impl Read) -> anyhow::Result<Self> {
        Self::read_tar_with(reader, merge_usr)
    }

    fn read_tar_with(reader: impl Read, path_of: fn(&str) -> String) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        let mut links = Vec::new();
        for entry in tar::Archive::new(reader).entries()? {
            let mut entry = entry?;
            let path = path_of(&String::from_utf8_lossy(&entry.path_bytes()));
            if path.is_empty() {
                continue;
            }
            let header = entry.header();
            let (mode, uid, gid) = (header.mode()? & 0o7777, header.uid()?, header.gid()?);
            let link = || {
                let name = entry
                    .link_name_bytes()
                    .with_context(|| format!("{path}: link without a target"))?;
                anyhow::Ok(String::from_utf8_lossy(&name).into_owned())
            };
            let kind = match header.entry_type() {
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Symlink => Kind::Symlink(link()?),
                tar::EntryType::Link => {
                    links.push((path.clone(), path_of(&link()?)));
                    continue;
                }
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    let mut content = Vec::with_capacity(usize::try_from(header.size()?)?);
                    entry.read_to_end(&mut content)?;
                    Kind::File(content.into())
                }
                tar::EntryType::Char => Kind::CharDevice(
                    header.device_major()?.unwrap_or_default(),
                    header.device_minor()?.unwrap_or_default(),
                ),
                other => bail!("{path}: cannot handle tar entry type {other:?}"),
            };
            // The links that make a merged /usr are the base layer's own affair.
            if kind == Kind::Directory && tree.entries.contains_key(&path) {
                continue;
            }
            tree.insert(
                &path,
                Entry {
                    kind,
                    mode,
                    uid,
                    gid,
                },
            );
        }
        for (path, target) in links {
            let entry = tree.entries.get(&target).cloned();
            let entry = entry.with_context(|| format!("{path}: hard link to missing {target}"))?;
            tree.insert(&path, entry);
        }
        Ok(tree)
    }

    /// Writes the tree as a tar stream in which nothing depends on when or where it was made.
    pub fn write_tar(&self, writer: impl Write) -> anyhow::Result<()> {
        self.append_to(tar::Builder::new(writer))
    }

    /// The same with an entry for the root directory itself, whose mode mkfs.erofs would make up otherwise.
    pub fn write_rooted_tar(&self, writer: impl Write) -> anyhow::Result<()> {
        let mut builder = tar::Builder::new(writer);
        let mut header = tar::Header::new_gnu();
        header.set_mtime(SOURCE_DATE_EPOCH);
        header.set_mode(0o755);
        header.set_size(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(tar::EntryType::Directory);
        builder.append_data(&mut header, "./", std::io::empty())?;
        self.append_to(builder)
    }

    fn append_to(&self, mut builder: tar::Builder<impl Write>) -> anyhow::Result<()> {
        for (path, entry) in &self.entries {
            let (kind, content) = match &entry.kind {
                Kind::Directory => (layer::Kind::Directory, &[][..]),
                Kind::File(content) => (layer::Kind::File(entry.size()), &content[..]),
                Kind::Symlink(target) => (layer::Kind::Symlink(target.into()), &[][..]),
                Kind::CharDevice(major, minor) => {
                    (layer::Kind::CharDevice(*major, *minor), &[][..])
                }
            };
            let attributes = layer::Attributes {
                kind,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                mtime: SOURCE_DATE_EPOCH,
            };
            layer::append(&mut builder, path.as_ref(), &attributes, content)?;
        }
        builder.into_inner()?.flush()?;
        Ok(())
    }

    /// Hash of the tree's deterministic tar.
    pub fn digest(&self) -> anyhow::Result<String> {
        let mut digest = Digest::default();
        self.write_tar(&mut digest)?;
        Ok(digest.hex())
    }

    /// Reads a directory of the checkout. Only the executable bit of a file is kept, as git does.
    pub fn read_directory(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        if root.exists() {
            tree.read_into(root, "")?;
        }
        Ok(tree)
    }

    fn read_into(&mut self, dir: &Path, prefix: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("{}: name is not UTF-8", entry.path().display()))?;
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            let file_type = entry.file_type()?;
            if file_type.is_dir() {
                self.insert_missing(&path, Entry::directory(0o755));
                self.read_into(&entry.path(), &path)?;
            } else if file_type.is_symlink() {
                let target = fs::read_link(entry.path())?;
                self.insert(&path, Entry::symlink(target.to_string_lossy()));
            } else {
                let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
                let content = fs::read(entry.path())
                    .with_context(|| format!("cannot read {}", entry.path().display()))?;
                self.insert(
                    &path,
                    Entry::file(content, if executable { 0o755 } else { 0o644 }),
                );
            }
        }
        Ok(())
    }
}

/// `./etc/x/` → `etc/x`
fn clean(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_matches('/');
    if path == "." {
        String::new()
    } else {
        path.to_owned()
    }
}

/// `./lib/x/` → `usr/lib/x`
fn merge_usr(path: &str) -> String {
    let path = clean(path);
    match path.split('/').next() {
        Some("bin" | "sbin" | "lib" | "lib64") => format!("usr/{path}"),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let mut tree = Tree::default();
        tree.insert(
            "usr/bin/tool",
            Entry {
                uid: 3,
                gid: 4,
                ..Entry::file(b"x".to_vec(), 0o4755)
            },
        );
        tree.insert("usr/bin/link", Entry::symlink("tool"));
        tree.insert(
            &format!("usr/{}/deep", "long".repeat(40)),
            Entry::file(Vec::new(), 0o644),
        );
        tree
    }

    #[test]
    fn a_tar_keeps_the_tree() {
        let mut tar = Vec::new();
        sample().write_tar(&mut tar).expect("writing to memory");
        assert_eq!(Tree::read_tar(&tar[..]).expect("own tar"), sample());
    }

    #[test]
    fn the_engine_makes_a_layers_tar_again_out_of_its_files() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root for owners and devices");
            return;
        }
        let mut tree = sample();
        // In the order of bytes, between a directory and what is in it.
        tree.insert("usr/bin-other", Entry::file(vec![b'y'; 5000], 0o600));
        tree.insert("usr/long", Entry::symlink("../".repeat(60)));
        let kind = Kind::CharDevice(1, 3);
        let device = Entry {
            kind,
            ..Entry::file(Vec::new(), 0o666)
        };
        tree.insert("dev/null", device);
        let mut tar = Vec::new();
        tree.write_tar(&mut tar).expect("writing to memory");
        let diff_id = coracle_image::Digest::of(&tar);
        let directory = tempfile::tempdir().expect("a directory");
        let unpacked = directory.path().join("usr/layers/base");
        fs::create_dir_all(&unpacked).expect("a directory");
        let file = directory.path().join("layer.tar");
        fs::write(&file, &tar).expect("the archive");
        let mut unpack = std::process::Command::new("tar");
        unpack.arg("-xpf").arg(file);
        let options = ["--numeric-owner", "--delay-directory-restore", "-C"];
        unpack.args(options).arg(unpacked);
        assert!(unpack.status().expect("tar(1)").success());
        let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": [diff_id]}});
        let config = config.to_string();
        let id = coracle_image::Digest::of(config.as_bytes());
        let images = directory.path().join("usr/images");
        fs::create_dir(&images).expect("a directory");
        let name = format!("{}.json", id.hex());
        fs::write(images.join(&name), config).expect("the configuration");
        let index = serde_json::json!({"images": [{"names": ["x:1"], "id": id, "config": name, "layers": ["base"]}]});
        fs::write(images.join("index.json"), index.to_string()).expect("the index");
        let usr = Some(directory.path().join("usr"));
        let store = coracle_image::Store::open(usr, directory.path().join("data"));
        let store = store.expect("a store");
        let length = store.layer_length(&diff_id).expect("the layer is there");
        let mut made = Vec::new();
        let mut archive = store.layer_archive(&diff_id).expect("the layer is there");
        archive.read_to_end(&mut made).expect("it is the same");
        assert!(made == tar && length == tar.len() as u64);
    }

    #[test]
    fn paths_outside_usr_are_merged_into_it() {
        for (from, to) in [
            ("./lib/modules/", "usr/lib/modules"),
            ("sbin/ip", "usr/sbin/ip"),
            ("./etc/x", "etc/x"),
            ("./", ""),
            (".", ""),
            ("library/x", "library/x"),
        ] {
            assert_eq!(merge_usr(from), to);
        }
    }

    #[test]
    fn pruning_removes_chains_of_empty_directories() {
        let mut tree = sample();
        tree.insert("usr/share/doc/bash", Entry::directory(0o755));
        tree.insert("run", Entry::directory(0o755));
        tree.prune_empty(|path| path.starts_with("usr/"));
        assert!(tree.get("usr/share").is_none());
        assert!(tree.get("run").is_some());
    }
}
