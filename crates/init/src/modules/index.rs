//! The files that depmod(8) writes beside the modules.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::alias::{AliasTable, Aliases};
use super::normalise;
use crate::Error;

/// Soft dependencies may go in circles; no real chain of them is this long.
const MAX_SOFT_DEPTH: u32 = 4;

/// What is known about the modules of one kernel.
#[derive(Debug, Default)]
pub struct Index {
    directory: PathBuf,
    modules: HashMap<String, Module>,
    /// Read when something is looked up that is no module's name: it is by far the largest file.
    aliases: OnceLock<Aliases>,
    asked_once: bool,
    builtin: HashSet<String>,
    soft: HashMap<String, Soft>,
}

/// One module: its file, below the index's directory, and all that it needs, nearest first.
#[derive(Debug, PartialEq, Eq)]
struct Module {
    file: String,
    needs: Vec<String>,
}

/// Modules that should be loaded with another if they exist.
#[derive(Debug, Default, PartialEq, Eq)]
struct Soft {
    before: Vec<String>,
    after: Vec<String>,
}

impl Index {
    /// Reads the index of the running kernel: `/usr/lib/modules/<release>`, or the same below `/lib`.
    ///
    /// # Errors
    /// When there is no `modules.dep` in either place.
    pub fn of_running_kernel() -> Result<Self, Error> {
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let places =
            ["/usr/lib/modules", "/lib/modules"].map(|place| Path::new(place).join(&release));
        match places
            .iter()
            .find(|place| place.join("modules.dep").exists())
        {
            Some(place) => Self::read(place),
            None => Err(Error::NoModules { release }),
        }
    }

    /// Reads the index in `directory`. Files other than `modules.dep` may be missing.
    ///
    /// # Errors
    /// When `modules.dep` cannot be read.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let dep = directory.join("modules.dep");
        let needed = fs::read_to_string(&dep).map_err(Error::io("read", &dep))?;
        let text = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        Ok(Self::parse(
            directory,
            &needed,
            &text("modules.builtin"),
            &text("modules.softdep"),
        ))
    }

    fn parse(directory: &Path, dep: &str, builtin: &str, softdep: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            modules: dep.lines().filter_map(dependency_line).collect(),
            aliases: OnceLock::new(),
            asked_once: false,
            builtin: builtin.lines().map(module_name).collect(),
            soft: softdep.lines().filter_map(softdep_line).collect(),
        }
    }

    /// Prepares for a question or two instead of hundreds: aliases are searched for.
    #[must_use]
    pub fn asked_once(self) -> Self {
        Self {
            asked_once: true,
            ..self
        }
    }

    fn aliases(&self) -> &Aliases {
        self.aliases.get_or_init(|| {
            let text = fs::read_to_string(self.directory.join("modules.alias")).unwrap_or_default();
            match self.asked_once {
                true => Aliases::Text(text),
                false => Aliases::Table(AliasTable::parse(&text)),
            }
        })
    }

    /// The modules to load for `name`, which is a module's name or an alias; none when it is built in. `None` when it is
    /// unknown.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<Vec<String>> {
        let module = normalise(name);
        if self.builtin.contains(&module) {
            Some(Vec::new())
        } else if self.modules.contains_key(&module) {
            Some(vec![module])
        } else {
            Some(self.aliases().modules(name)).filter(|modules| !modules.is_empty())
        }
    }

    /// Where the file of a module is.
    #[must_use]
    pub fn file(&self, module: &str) -> Option<PathBuf> {
        self.modules
            .get(module)
            .map(|m| self.directory.join(&m.file))
    }

    /// Calls `load` for a module and everything that it needs or would like to have, in the order of loading; for some of it more
    /// than once. What is only liked may fail (softdep in modprobe.d(5)).
    ///
    /// # Errors
    /// The first of `load`, for the module or what it needs.
    pub fn in_order<E>(
        &self,
        module: &str,
        load: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.in_order_at(module, 0, load)
    }

    fn in_order_at<E>(
        &self,
        module: &str,
        depth: u32,
        load: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        for each in self.needs(module).chain([module]) {
            let (before, after) = self.soft(each);
            self.soft_in_order(before, depth, load);
            load(each)?;
            self.soft_in_order(after, depth, load);
        }
        Ok(())
    }

    fn soft_in_order<E>(
        &self,
        names: &[String],
        depth: u32,
        load: &mut impl FnMut(&str) -> Result<(), E>,
    ) {
        for name in names.iter().filter(|_| depth < MAX_SOFT_DEPTH) {
            for module in self.resolve(name).into_iter().flatten() {
                // Nothing depends on it: a failure is the kernel log's business.
                let _ = self.in_order_at(&module, depth + 1, load);
            }
        }
    }

    /// What must be loaded before a module, in the order of loading.
    fn needs<'a>(&'a self, module: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.modules
            .get(module)
            .into_iter()
            .flat_map(|m| m.needs.iter().rev())
            .map(String::as_str)
    }

    /// What should be loaded before and after a module, if it can be.
    fn soft(&self, module: &str) -> (&[String], &[String]) {
        self.soft
            .get(module)
            .map_or((&[], &[]), |soft| (&soft.before, &soft.after))
    }
}

/// `kernel/fs/isofs/isofs.ko` is module `isofs`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normalise(file.split(".ko").next().unwrap_or(file))
}

/// `kernel/a.ko: kernel/b.ko kernel/c.ko`.
fn dependency_line(line: &str) -> Option<(String, Module)> {
    let (file, needs) = line.split_once(':')?;
    let needs = needs.split_ascii_whitespace().map(module_name).collect();
    Some((
        module_name(file),
        Module {
            file: file.to_owned(),
            needs,
        },
    ))
}

/// `softdep NAME pre: A B post: C`.
fn softdep_line(line: &str) -> Option<(String, Soft)> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("softdep") {
        return None;
    }
    let name = normalise(words.next()?);
    let mut soft = Soft::default();
    let mut list = None;
    for word in words {
        match (word, &mut list) {
            ("pre:", _) => list = Some(true),
            ("post:", _) => list = Some(false),
            (module, Some(true)) => soft.before.push(module.to_owned()),
            (module, Some(false)) => soft.after.push(module.to_owned()),
            (_, None) => {}
        }
    }
    Some((name, soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let index = Index::parse(
            Path::new("/m"),
            "kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko\n\
             kernel/fs/jbd2/jbd2.ko:\nkernel/fs/mbcache.ko:\nkernel/lib/crc16.ko:\n\
             kernel/drivers/usb/storage/usb-storage.ko: kernel/drivers/scsi/scsi_mod.ko\n",
            "kernel/fs/fuse/fuse.ko\nkernel/drivers/virtio/virtio-pci.ko\n",
            "# comment\nsoftdep ext4 pre: crc32c post: unknown\n",
        );
        let aliases = AliasTable::parse("alias fs-ext4 ext4\nalias fs-ext3 ext4\n");
        index.aliases.set(Aliases::Table(aliases)).unwrap();
        index
    }

    #[test]
    fn names_and_aliases_resolve() {
        for (name, want) in [
            ("ext4", Some(&["ext4"][..])),
            ("fs-ext3", Some(&["ext4"])),
            ("usb-storage", Some(&["usb_storage"])),
            ("fuse", Some(&[])),
            ("virtio_pci", Some(&[])),
            ("nothing", None),
        ] {
            let want =
                want.map(|modules| modules.iter().map(|&module| module.to_owned()).collect());
            assert_eq!(index().resolve(name), want, "{name}");
        }
    }

    #[test]
    fn what_a_needed_module_would_like_is_loaded_before_it() {
        let index = Index::parse(
            Path::new("/m"),
            "erofs.ko: libcrc32c.ko\nlibcrc32c.ko:\ncrc32c_a.ko:\ncrc32c_b.ko: simd.ko\nsimd.ko:\n\
             left.ko: right.ko\nright.ko:\nlate.ko:\n",
            "",
            "softdep libcrc32c pre: crc32c\nsoftdep right pre: left post: late\n",
        );
        let aliases = AliasTable::parse("alias crc32c crc32c_a\nalias crc32c crc32c_b\n");
        index.aliases.set(Aliases::Table(aliases)).unwrap();
        let order = |module: &str, broken: &str| {
            let mut loaded: Vec<String> = Vec::new();
            let result = index.in_order(module, &mut |each: &str| {
                if each == broken {
                    return Err(each.to_owned());
                }
                if loaded.iter().all(|before| before != each) {
                    loaded.push(each.to_owned());
                }
                Ok(())
            });
            (loaded.join(" "), result.err())
        };
        let failed = |module: &str| Some(module.to_owned());
        for (module, broken, want) in [
            (
                "erofs",
                "",
                ("crc32c_a simd crc32c_b libcrc32c erofs", None),
            ),
            ("erofs", "simd", ("crc32c_a libcrc32c erofs", None)),
            (
                "erofs",
                "libcrc32c",
                ("crc32c_a simd crc32c_b", failed("libcrc32c")),
            ),
            // Each asks for the other.
            ("left", "", ("right left late", None)),
        ] {
            let (loaded, error) = order(module, broken);
            assert_eq!((loaded.as_str(), error), want, "{module} without {broken}");
        }
    }

    #[test]
    fn what_a_module_needs_comes_farthest_first() {
        let index = index();
        assert_eq!(
            index.needs("ext4").collect::<Vec<_>>(),
            ["jbd2", "mbcache", "crc16"]
        );
        assert_eq!(index.needs("jbd2").collect::<Vec<_>>(), Vec::<&str>::new());
        assert_eq!(
            index.file("usb_storage"),
            Some("/m/kernel/drivers/usb/storage/usb-storage.ko".into())
        );
        assert_eq!(
            index.soft("ext4"),
            (&["crc32c".to_owned()][..], &["unknown".to_owned()][..])
        );
    }
}
