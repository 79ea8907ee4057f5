//! The kernel and the modules that Coracle ships, chosen by `images/kernel/modules.yml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use coracle_toolbox::{Package, Toolbox};
use serde::Deserialize;

use super::definition;
use super::digest::Digest;
use super::module;
use super::tree::{Entry, Kind, Tree};

const FORMAT: &str = "9";

/// What the package says about built-in modules and the order of aliases.
const DEPMOD_READS: &[&str] = &[
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.order",
];

/// The indices that init's loader reads.
const INITRD_INDICES: &[&str] = &[
    "modules.alias",
    "modules.builtin",
    "modules.dep",
    "modules.softdep",
];

/// The same, and those that udev's libkmod reads.
const SYSTEM_INDICES: &[&str] = &[
    "modules.alias",
    "modules.alias.bin",
    "modules.builtin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.dep",
    "modules.dep.bin",
    "modules.devname",
    "modules.softdep",
    "modules.symbols.bin",
];

/// `images/kernel/modules.yml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Debian's kernel metapackage.
    pub package: String,
    /// Modules to find and mount the root: they go into the initrd as well.
    pub initrd: BTreeMap<String, Vec<String>>,
    /// All other modules: they are in `system.erofs` only.
    pub system: BTreeMap<String, Vec<String>>,
}

/// A kernel and its chosen modules.
#[derive(Debug)]
pub struct Kernel {
    /// Hash of what it was made from.
    pub key: String,
    /// The bootable image.
    pub vmlinuz: Vec<u8>,
    /// `usr/lib/modules/<release>` for `system.erofs`.
    pub system: Tree,
    /// The same for the initrd.
    pub initrd: Tree,
}

impl Kernel {
    /// Takes kernel and modules out of the package, or from the cache when neither it nor the selection changed.
    pub fn build(
        images: &Path,
        cache: &Path,
        toolbox: &Toolbox,
        package: &Package,
        read: impl FnOnce() -> anyhow::Result<Tree>,
    ) -> anyhow::Result<Self> {
        let path = images.join("kernel/modules.yml");
        let selection: Selection = definition::read_yaml(&path)?;
        let release = package
            .name
            .strip_prefix("linux-image-")
            .context("the kernel's package is not called linux-image-*")?
            .to_owned();
        let mut key = Digest::default();
        key.field(FORMAT)
            .field(&package.sha256)
            .field(fs::read(&path)?);
        let key = key.hex();
        let dir = cache.join(format!("kernel-{key:.16}"));
        if !dir.exists() {
            let part = dir.with_extension("part");
            if part.exists() {
                fs::remove_dir_all(&part)?;
            }
            Source {
                release: &release,
                toolbox,
                work: &part,
                tree: read()?,
            }
            .build(&selection)
            .with_context(|| path.display().to_string())?;
            fs::rename(&part, &dir)?;
        }
        let tree =
            |name: &str| -> anyhow::Result<Tree> { Tree::read_tar(&fs::read(dir.join(name))?[..]) };
        Ok(Self {
            vmlinuz: fs::read(dir.join("vmlinuz"))?,
            system: tree("system.tar")?,
            initrd: tree("initrd.tar")?,
            key,
        })
    }
}

/// The unpacked package and a directory to work in.
struct Source<'a> {
    release: &'a str,
    toolbox: &'a Toolbox,
    work: &'a Path,
    tree: Tree,
}

impl Source<'_> {
    fn build(&self, selection: &Selection) -> anyhow::Result<()> {
        let all = self.work.join("all");
        self.unpack(&self.tree, &all)?;
        self.depmod(&all)?;
        let index = Index::read(&self.stage_dir(&all))?;
        let initrd = index.closure(&selection.initrd)?;
        let mut system = index.closure(&selection.system)?;
        system.extend(initrd.iter().cloned());
        let system = self.subset(&system, "system", SYSTEM_INDICES)?;
        self.write("system", &system)?;
        let initrd = self.subset(&initrd, "initrd", INITRD_INDICES)?;
        self.write("initrd", &packed(&initrd)?)?;
        let vmlinuz = format!("boot/vmlinuz-{}", self.release);
        fs::write(
            self.work.join("vmlinuz"),
            self.tree
                .content(&vmlinuz)
                .with_context(|| format!("the package has no {vmlinuz}"))?,
        )?;
        fs::remove_dir_all(all)?;
        Ok(())
    }

    fn module_dir(&self) -> String {
        format!("usr/lib/modules/{}", self.release)
    }

    /// Where depmod works below a root.
    fn stage_dir(&self, root: &Path) -> PathBuf {
        root.join("lib/modules").join(self.release)
    }

    /// Writes a tree's module directory where `depmod -b` looks for it.
    fn unpack(&self, tree: &Tree, to: &Path) -> anyhow::Result<()> {
        let prefix = self.module_dir();
        let target = self.stage_dir(to);
        fs::create_dir_all(&target)?;
        for (path, entry) in tree.iter() {
            let Some(path) = path
                .strip_prefix(&prefix)
                .and_then(|path| path.strip_prefix('/'))
            else {
                continue;
            };
            match &entry.kind {
                Kind::Directory => fs::create_dir_all(target.join(path))?,
                Kind::File(content) => fs::write(target.join(path), content)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn depmod(&self, root: &Path) -> anyhow::Result<()> {
        let output = self
            .toolbox
            .command("depmod")?
            .arg("-b")
            .arg(root)
            .arg(self.release)
            .output()?;
        if !output.status.success() {
            bail!(
                "depmod failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// The modules, uncompressed, with indices that know only them.
    fn subset(
        &self,
        modules: &BTreeSet<String>,
        name: &str,
        indices: &[&str],
    ) -> anyhow::Result<Tree> {
        let prefix = self.module_dir();
        let mut tree = Tree::default();
        for source in modules {
            let packed = self
                .tree
                .content(&format!("{prefix}/{source}"))
                .with_context(|| format!("no module {source}"))?;
            let path = source.strip_suffix(".xz").unwrap_or(source);
            let mut content = Vec::new();
            if path == source {
                content.extend_from_slice(packed);
            } else {
                lzma_rust2::XzReader::new(&packed[..], true)
                    .read_to_end(&mut content)
                    .with_context(|| source.clone())?;
            }
            let small = module::shrink(&content).with_context(|| source.clone())?;
            tree.insert(&format!("{prefix}/{path}"), Entry::file(small, 0o644));
        }
        let stage = self.work.join(name);
        self.unpack(&tree, &stage)?;
        for file in DEPMOD_READS {
            let content = self.tree.content(&format!("{prefix}/{file}"));
            let content = content.with_context(|| format!("the package has no {file}"))?;
            fs::write(self.stage_dir(&stage).join(file), content)?;
        }
        self.depmod(&stage)?;
        for index in indices {
            let content = fs::read(self.stage_dir(&stage).join(index))
                .with_context(|| format!("depmod made no {index}"))?;
            tree.insert(&format!("{prefix}/{index}"), Entry::file(content, 0o644));
        }
        fs::remove_dir_all(stage)?;
        Ok(tree)
    }

    /// Writes `<name>.tar`.
    fn write(&self, name: &str, tree: &Tree) -> anyhow::Result<()> {
        tree.write_tar(fs::File::create(self.work.join(format!("{name}.tar")))?)
    }
}

/// The same modules, each compressed, and `modules.dep` with their new names. Other indices know no files.
fn packed(tree: &Tree) -> anyhow::Result<Tree> {
    let mut packed = Tree::default();
    for (path, entry) in tree.iter() {
        match (path.strip_suffix(".ko"), tree.content(path)) {
            (Some(name), Some(content)) => {
                let content = module::pack(content).with_context(|| path.to_owned())?;
                let path = format!("{name}{}", module::PACKED);
                packed.insert(&path, Entry::file(content, entry.mode));
            }
            (None, Some(content)) if path.ends_with("/modules.dep") => {
                let text = std::str::from_utf8(content).with_context(|| path.to_owned())?;
                let text = text.replace(".ko", module::PACKED);
                packed.insert(path, Entry::file(text.into_bytes(), entry.mode));
            }
            _ => packed.insert(path, entry.clone()),
        }
    }
    Ok(packed)
}

/// What depmod knows about all modules of the package.
#[derive(Debug, Default)]
struct Index {
    /// Path → paths it needs.
    depends: BTreeMap<String, Vec<String>>,
    /// Module name → path.
    names: BTreeMap<String, String>,
    /// Module name → names it wants loaded before or after itself.
    soft: BTreeMap<String, Vec<String>>,
    /// Alias → names of the modules that have it. Soft dependencies are often aliases: `crypto-crc32c`.
    aliases: BTreeMap<String, Vec<String>>,
    /// Names of modules that are built in.
    builtin: BTreeSet<String>,
}

impl Index {
    fn read(dir: &Path) -> anyhow::Result<Self> {
        let text = |name: &str| {
            fs::read_to_string(dir.join(name))
                .with_context(|| format!("cannot read {name} of depmod"))
        };
        Ok(Self::parse(
            &text("modules.dep")?,
            &text("modules.softdep")?,
            &text("modules.alias")?,
            &text("modules.builtin")?,
        ))
    }

    fn parse(dep: &str, softdep: &str, alias: &str, builtin: &str) -> Self {
        let mut index = Self::default();
        for (path, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            index.names.insert(module_name(path), path.to_owned());
            index.depends.insert(
                path.to_owned(),
                needs.split_whitespace().map(str::to_owned).collect(),
            );
        }
        for line in softdep
            .lines()
            .filter_map(|line| line.strip_prefix("softdep "))
        {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let wanted = words
                .filter(|word| *word != "pre:" && *word != "post:")
                .map(module_name);
            index
                .soft
                .entry(module_name(name))
                .or_default()
                .extend(wanted);
        }
        for line in alias.lines().filter_map(|line| line.strip_prefix("alias ")) {
            if let Some((alias, name)) = line.split_once(' ') {
                let names = index.aliases.entry(module_name(alias)).or_default();
                names.push(module_name(name));
            }
        }
        index.builtin = builtin.lines().map(module_name).collect();
        index
    }

    /// Every module that the groups name (by name, or by path pattern) and everything those need.
    fn closure(&self, groups: &BTreeMap<String, Vec<String>>) -> anyhow::Result<BTreeSet<String>> {
        let mut todo = Vec::new();
        let mut unknown = Vec::new();
        for (group, entries) in groups {
            for entry in entries {
                let before = todo.len();
                if entry.contains('/') {
                    let pattern = definition::pattern(entry)?;
                    todo.extend(
                        self.depends
                            .keys()
                            .filter(|path| pattern.is_match(bare(path)))
                            .cloned(),
                    );
                } else if let Some(path) = self.names.get(&module_name(entry)) {
                    todo.push(path.clone());
                }
                if todo.len() == before && !self.builtin.contains(&module_name(entry)) {
                    unknown.push(format!("{group}: {entry}"));
                }
            }
        }
        if !unknown.is_empty() {
            bail!("the kernel has no module for {}", unknown.join(", "));
        }
        let mut closure = BTreeSet::new();
        while let Some(path) = todo.pop() {
            if !closure.insert(path.clone()) {
                continue;
            }
            todo.extend(self.depends.get(&path).into_iter().flatten().cloned());
            let soft = self.soft.get(&module_name(&path)).into_iter().flatten();
            todo.extend(soft.flat_map(|name| self.providers(name)).cloned());
        }
        Ok(closure)
    }

    /// Paths of the module with this name, or of all that have it as an alias.
    fn providers<'a>(&'a self, name: &'a String) -> impl Iterator<Item = &'a String> {
        let aliased = self.aliases.get(name).into_iter().flatten();
        std::iter::once(name)
            .chain(aliased)
            .filter_map(|name| self.names.get(name))
    }
}

/// `kernel/fs/ext4/ext4.ko.xz` → `kernel/fs/ext4/ext4`
fn bare(path: &str) -> PathBuf {
    path.trim_end_matches(".xz").trim_end_matches(".ko").into()
}

/// `kernel/x/virtio-blk.ko.xz` → `virtio_blk`, as the kernel spells it.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.trim_end_matches(".xz")
        .trim_end_matches(".ko")
        .replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::parse(
            "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz\nkernel/fs/jbd2/jbd2.ko.xz:\n\
             kernel/lib/crc32c-x.ko.xz:\nkernel/lib/crc32c-y.ko.xz:\nkernel/drivers/net/a.ko.xz:\nkernel/drivers/net/b/c.ko.xz:\n",
            "# Soft dependencies\nsoftdep ext4 pre: crypto-crc32c\n",
            "# Aliases\nalias crypto-crc32c crc32c_x\nalias crypto-crc32c crc32c_y\nalias pci:v* a\n",
            "kernel/drivers/virtio/virtio_pci.ko\n",
        )
    }

    fn closure(entries: &[&str]) -> Result<Vec<String>, String> {
        let groups = BTreeMap::from([(
            "group".to_owned(),
            entries.iter().map(|e| (*e).to_owned()).collect(),
        )]);
        index()
            .closure(&groups)
            .map(|set| set.into_iter().map(|path| module_name(&path)).collect())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn hard_and_soft_dependencies_come_along() {
        assert_eq!(
            closure(&["ext4"]),
            Ok(["ext4", "jbd2", "crc32c_x", "crc32c_y"]
                .map(String::from)
                .to_vec())
        );
    }

    #[test]
    fn modules_are_packed_with_their_names_in_the_index() {
        let tree = |files: &[(&str, &[u8])]| {
            let mut tree = Tree::default();
            for (path, content) in files {
                tree.insert(path, Entry::file(content.to_vec(), 0o644));
            }
            tree
        };
        let small = module::pack(b"code").unwrap();
        assert_eq!(
            packed(&tree(&[
                ("m/kernel/a.ko", b"code"),
                ("m/modules.alias", b"alias x a\n"),
                ("m/modules.dep", b"kernel/a.ko: kernel/b.ko\n"),
            ]))
            .unwrap(),
            tree(&[
                ("m/kernel/a.ko.zst", &small),
                ("m/modules.alias", b"alias x a\n"),
                ("m/modules.dep", b"kernel/a.ko.zst: kernel/b.ko.zst\n"),
            ])
        );
    }

    #[test]
    fn a_pattern_stays_in_its_directory() {
        assert_eq!(closure(&["kernel/drivers/net/*"]), Ok(vec!["a".into()]));
        assert_eq!(
            closure(&["kernel/drivers/net/**"]),
            Ok(vec!["a".into(), "c".into()])
        );
    }

    #[test]
    fn built_in_is_fine_and_unknown_is_an_error() {
        assert_eq!(closure(&["virtio-pci"]), Ok(vec![]));
        assert_eq!(
            closure(&["virtio_pcl"]),
            Err("the kernel has no module for group: virtio_pcl".into())
        );
    }
}
