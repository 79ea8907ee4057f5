//! Making `system.erofs` in two steps.
//!
//! Compressing layers and modules takes minutes, but they seldom change: that part is cached. What changes with every build of
//! our code is small and is added to a copy of it (mkfs.erofs's incremental mode).

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use coracle_toolbox::Toolbox;
use indicatif::ProgressBar;

use super::digest::{Digest, uuid};
use super::tree::{SOURCE_DATE_EPOCH, Tree};

/// Volume label that init looks for.
pub const LABEL: &str = "CORACLE";

/// How many cached first steps are kept.
const KEPT: usize = 4;

/// How files are packed.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// mkfs.erofs's options.
    pub options: &'static [&'static str],
}

impl Packing {
    /// Small, for releases: minutes when a layer changed.
    pub const SMALL: Self = Self {
        options: &["-zzstd,level=9", "-C131072"],
    };
    /// Quick, for development: seconds.
    pub const QUICK: Self = Self {
        options: &["-zlz4", "-C65536"],
    };
}

/// Makes file systems.
#[derive(Debug)]
pub struct Maker<'a> {
    /// Where mkfs.erofs is.
    pub toolbox: &'a Toolbox,
    /// Where first steps are kept.
    pub cache: &'a Path,
    /// How to pack.
    pub packing: Packing,
}

impl Maker<'_> {
    /// Writes the file system of `stable`, which `key` identifies, with `top` added, and returns its UUID. The UUID depends on
    /// the content and the packing only.
    pub fn write(
        &self,
        key: &str,
        stable: impl FnOnce() -> anyhow::Result<Tree>,
        top: &Tree,
        path: &Path,
    ) -> anyhow::Result<String> {
        let first = self.first_step(key, stable)?;
        let top_tar = path.with_extension("tar");
        let mut hash = Digest::default();
        // Its name is the hash of what went into it.
        hash.field(first.file_name().unwrap_or_default().as_encoded_bytes());
        write_tar(top, &top_tar, &mut hash)?;
        let uuid = uuid(&hash.bytes());

        let part = path.with_extension("part");
        fs::copy(&first, &part).with_context(|| format!("cannot copy {}", first.display()))?;
        self.mkfs(&["--incremental=data", "-U", &uuid], &part, &top_tar)?;
        fs::remove_file(&top_tar)?;
        fs::rename(&part, path).with_context(|| format!("cannot move {}", part.display()))?;
        Ok(uuid)
    }

    fn first_step(
        &self,
        key: &str,
        stable: impl FnOnce() -> anyhow::Result<Tree>,
    ) -> anyhow::Result<PathBuf> {
        let mut hash = Digest::default();
        hash.field(key);
        for option in self.packing.options {
            hash.field(option);
        }
        let path = self.cache.join(format!("{:.16}.erofs", hash.hex()));
        if !path.exists() {
            fs::create_dir_all(self.cache)
                .with_context(|| format!("cannot create {}", self.cache.display()))?;
            let tree = stable()?;
            let tar = path.with_extension("tar");
            write_tar(&tree, &tar, std::io::sink())?;
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(200));
            bar.set_message(format!("compressing {} MB", tree.size() / 1_000_000));
            let part = path.with_extension("part");
            let _ = fs::remove_file(&part);
            let result = self.mkfs(&["-U", "clear"], &part, &tar);
            bar.finish_and_clear();
            fs::remove_file(&tar)?;
            result?;
            fs::rename(&part, &path).with_context(|| format!("cannot move {}", part.display()))?;
            forget_old(self.cache)?;
        }
        Ok(path)
    }

    fn mkfs(&self, options: &[&str], image: &Path, tar: &Path) -> anyhow::Result<()> {
        let output = self
            .toolbox
            .command("mkfs.erofs")?
            .args(self.packing.options)
            .args(["--quiet", "--tar=f", "-L", LABEL])
            .arg(format!("-T{SOURCE_DATE_EPOCH}"))
            .args(options)
            .arg(image)
            .arg(tar)
            .output()
            .context("cannot run mkfs.erofs")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("mkfs.erofs failed ({}): {text}", output.status);
        }
        Ok(())
    }
}

fn write_tar(tree: &Tree, path: &Path, hash: impl Write) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut writer = BufWriter::new(file);
    tree.write_tar(Both(&mut writer, hash))?;
    writer.flush()?;
    Ok(())
}

/// Removes all but the newest cached images.
fn forget_old(cache: &Path) -> anyhow::Result<()> {
    let mut images = Vec::new();
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        images.push((entry.metadata()?.modified()?, entry.path()));
    }
    images.sort();
    images.reverse();
    for (_, path) in images.into_iter().skip(KEPT) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Writes to both.
struct Both<A, B>(A, B);

impl<A: Write, B: Write> Write for Both<A, B> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}
