//! Making `system.erofs` part by part.
//!
//! Compressing takes minutes, but most parts seldom change. So the file system is made in a chain of steps, each of which adds
//! one part to a copy of the step before (mkfs.erofs's incremental mode) and is cached under the hash of everything in it. The
//! growth of each step is what that part costs. No option may make files share compressed data across steps: with fragments,
//! mkfs.erofs 1.8.6 writes wrong data in incremental mode.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use coracle_toolbox::Toolbox;
use indicatif::ProgressBar;

use super::digest::{Digest, uuid};
use super::tree::{SOURCE_DATE_EPOCH, Tree};

/// Volume label that init looks for.
pub const LABEL: &str = "CORACLE";

/// How many cached steps are kept.
const KEPT: usize = 24;

/// How files are packed: mkfs.erofs's options.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// For what every boot reads.
    hot: &'static [&'static str],
    /// For what few machines read: smaller, and ten times as much work to unpack.
    cold: &'static [&'static str],
}

impl Packing {
    /// Small, for releases: minutes when a layer changed.
    /// Each kind names both algorithms, the one it uses first: mkfs.erofs can add only what the first step announced. The sizes of
    /// clusters are the same because LZMA's dictionary, which is announced too, follows from it.
    pub const SMALL: Self = Self {
        hot: &["-zzstd,level=9:lzma,level=9", "-C262144", "-Eztailpacking"],
        cold: &["-zlzma,level=9:zstd,level=9", "-C262144", "-Eztailpacking"],
    };
    /// Quick, for development: seconds.
    pub const QUICK: Self = Self {
        hot: &["-zlz4", "-C65536"],
        cold: &["-zlz4", "-C65536"],
    };
}

/// Makes file systems.
#[derive(Debug)]
pub struct Maker<'a> {
    /// Where mkfs.erofs is.
    pub toolbox: &'a Toolbox,
    /// Where steps are kept.
    pub cache: &'a Path,
    /// How to pack.
    pub packing: Packing,
}

/// One part of a file system.
pub struct Part<'a> {
    /// What it is, for the table of sizes.
    pub name: String,
    /// Hash of its content.
    pub key: String,
    /// Whether few machines read it.
    pub cold: bool,
    /// Its files; only asked for when the step is not cached.
    pub tree: Box<dyn Fn() -> Tree + 'a>,
}

/// A finished file system.
#[derive(Debug)]
pub struct Made {
    /// Its UUID, which depends on the content and the packing only.
    pub uuid: String,
    /// The parts' names and how much each added, in bytes.
    pub growth: Vec<(String, u64)>,
}

impl Maker<'_> {
    /// Writes the file system of all parts, the ones that change least first.
    pub fn write(&self, parts: &[Part<'_>], path: &Path) -> anyhow::Result<Made> {
        fs::create_dir_all(self.cache)
            .with_context(|| format!("cannot create {}", self.cache.display()))?;
        let (last, cached) = parts.split_last().context("a file system without parts")?;
        let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
        let mut hash = Digest::default();
        for option in self.packing.hot.iter().chain(self.packing.cold) {
            hash.field(option);
        }
        let mut before: Option<PathBuf> = None;
        let mut growth = Vec::new();
        for part in cached {
            hash.field(&part.key);
            let step = self.cache.join(format!("{:.16}.erofs", hash.clone().hex()));
            if let Ok(file) = File::options().append(true).open(&step) {
                // The steps that were not used for long are forgotten.
                file.set_modified(SystemTime::now())?;
            } else {
                self.step(part, before.as_deref(), &step, &["-U", "clear"])?;
            }
            let grown = size(&step).saturating_sub(before.as_deref().map_or(0, size));
            growth.push((part.name.clone(), grown));
            before = Some(step);
        }
        hash.field(&last.key);
        let uuid = uuid(&hash.bytes());
        let options = ["-L", LABEL, "-U", &uuid];
        self.step(last, before.as_deref(), path, &options)?;
        let grown = size(path).saturating_sub(before.as_deref().map_or(0, size));
        growth.push((last.name.clone(), grown));
        forget_old(self.cache)?;
        Ok(Made { uuid, growth })
    }

    /// Writes `to`: the step before with a part added.
    fn step(
        &self,
        part: &Part<'_>,
        before: Option<&Path>,
        to: &Path,
        options: &[&str],
    ) -> anyhow::Result<()> {
        let tree = (part.tree)();
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        let megabytes = tree.size() / 1_000_000;
        bar.set_message(format!("compressing {} ({megabytes} MB)", part.name));
        let image = to.with_extension("part");
        let mut options = options.to_vec();
        if let Some(before) = before {
            fs::copy(before, &image)
                .with_context(|| format!("cannot copy {}", before.display()))?;
            options.push("--incremental=data");
        } else if image.exists() {
            fs::remove_file(&image)?;
        }
        let packing = if part.cold {
            self.packing.cold
        } else {
            self.packing.hot
        };
        options.extend(packing);
        self.mkfs(&options, &image, &tree)?;
        bar.finish_and_clear();
        fs::rename(&image, to).with_context(|| format!("cannot move {}", image.display()))
    }

    fn mkfs(&self, options: &[&str], image: &Path, tree: &Tree) -> anyhow::Result<()> {
        let tar = image.with_extension("tar");
        let file =
            File::create(&tar).with_context(|| format!("cannot create {}", tar.display()))?;
        let mut writer = BufWriter::new(file);
        tree.write_rooted_tar(&mut writer)?;
        writer.flush()?;
        let output = self
            .toolbox
            .command("mkfs.erofs")?
            .args(["--quiet", "--tar=f"])
            .arg(format!("-T{SOURCE_DATE_EPOCH}"))
            .args(options)
            .arg(image)
            .arg(&tar)
            .output()
            .context("cannot run mkfs.erofs")?;
        fs::remove_file(&tar)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("mkfs.erofs failed ({}): {text}", output.status);
        }
        Ok(())
    }
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
