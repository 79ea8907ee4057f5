use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Archive, Error, Result, Suite, deb, progress};

/// What the build, the VM runner and VM tests need. Their dependencies come along.
const PACKAGES: &[&str] = &[
    "chrony",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "kmod",
    "mtools",
    "ovmf",
    "qemu-system-x86",
    "qemu-utils",
    "seabios",
    "xorriso",
    "zstd",
];

/// Parts of that closure that only matter to an installed system.
const UNUSED: &[&str] = &[
    "adduser",
    "base-passwd",
    "debconf",
    "libpam-modules",
    "libpam-modules-bin",
    "login.defs",
    "passwd",
];

const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Unpacked trixie tools, run through their own dynamic linker.
#[derive(Debug, Clone)]
pub struct Toolbox {
    root: PathBuf,
}

impl Toolbox {
    /// Opens the toolbox in `cache`, downloading and unpacking it (some 60 MB) on first use and when its list of tools changed.
    pub fn open(cache: &Path) -> Result<Self> {
        fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
        let cache = std::path::absolute(cache).map_err(Error::io("resolve", cache))?;
        let root = cache.join("toolbox");
        // Two commands may start at the same time; the second finds the first one's work.
        let lock_path = cache.join("toolbox.lock");
        let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
        lock.lock().map_err(Error::io("lock", &lock_path))?;
        let toolbox = Self { root };
        if fs::read_to_string(toolbox.root.join(".packages")).ok() != Some(stamp()) {
            toolbox.fill(&cache)?;
        }
        Ok(toolbox)
    }

    fn fill(&self, cache: &Path) -> Result<()> {
        let archive = Archive::open(cache, Suite::Trixie, false)?;
        let mut names = archive.closure(PACKAGES)?;
        names.retain(|name| !UNUSED.contains(&name.as_str()));
        let debs = archive.fetch(&archive.packages(&names)?)?;
        let fresh = self.root.with_extension("new");
        remove_tree(&fresh)?;
        let bar = progress::count("unpacking tools", debs.len());
        for path in &debs {
            deb::unpack(path, &fresh)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        let list = fresh.join(".packages");
        fs::write(&list, stamp()).map_err(Error::io("write", list))?;
        remove_tree(&self.root)?;
        fs::rename(&fresh, &self.root).map_err(Error::io("move", fresh))
    }

    /// A command for one of the tools. Its data directories are set where the tool could not find them by itself.
    pub fn command(&self, program: &str) -> Result<Command> {
        let found = ["usr/bin", "usr/sbin"]
            .map(|dir| self.root.join(dir).join(program))
            .into_iter()
            .find(|path| path.exists());
        let path = found.ok_or_else(|| Error::NoTool(program.to_owned()))?;
        let mut command = Command::new(self.root.join(LOADER));
        command
            .arg("--library-path")
            .arg(self.root.join(LIBRARIES))
            .arg("--argv0")
            .arg(program)
            .arg(path);
        if program.starts_with("qemu-system-") {
            for data in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
                command.arg("-L").arg(self.root.join(data));
            }
        }
        if program.starts_with("grub-mk") {
            command.env("pkgdatadir", self.root.join("usr/share/grub"));
        }
        // mtools converts names by iconv; mke2fs has its defaults in a file.
        command.env("GCONV_PATH", self.root.join(LIBRARIES).join("gconv"));
        command.env("MKE2FS_CONFIG", self.root.join("etc/mke2fs.conf"));
        Ok(command)
    }

    /// A data file of the toolbox, by its path without the leading slash.
    ///
    /// ```no_run
    /// # fn main() -> coracle_toolbox::Result<()> {
    /// let toolbox = coracle_toolbox::Toolbox::open(".cache".as_ref())?;
    /// let firmware = toolbox.file("usr/share/OVMF/OVMF_CODE_4M.fd")?;
    /// # Ok(()) }
    /// ```
    pub fn file(&self, path: &str) -> Result<PathBuf> {
        let full = self.root.join(path);
        if full.exists() {
            Ok(full)
        } else {
            Err(Error::NoFile(full))
        }
    }
}

/// Names the content of the toolbox; the lists decide, not the day's versions.
fn stamp() -> String {
    format!("{}\nwithout {}\n", PACKAGES.join(" "), UNUSED.join(" "))
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
