//! Making read-only file systems.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use coracle_toolbox::Toolbox;
use indicatif::ProgressBar;

use super::digest::{Digest, uuid};
use super::tree::{SOURCE_DATE_EPOCH, Tree};

/// Volume label that init looks for.
pub const LABEL: &str = "CORACLE";

/// How files are packed.
pub const OPTIONS: &[&str] = &["-zzstd,level=6", "-C65536"];

/// Writes a tree as erofs and returns its UUID, which the tree's content and the options decide.
pub fn write(toolbox: &Toolbox, tree: &Tree, path: &Path) -> anyhow::Result<String> {
    let tar = path.with_extension("tar");
    let mut hash = Digest::default();
    for option in OPTIONS {
        hash.field(option);
    }
    let mut writer = BufWriter::new(
        File::create(&tar).with_context(|| format!("cannot create {}", tar.display()))?,
    );
    tree.write_tar(Both(&mut writer, &mut hash))?;
    writer.flush()?;
    let uuid = uuid(&hash.bytes());

    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.set_message(format!(
        "compressing {} ({} MB)",
        path.display(),
        tree.size() / 1_000_000
    ));
    let part = path.with_extension("part");
    let _ = std::fs::remove_file(&part);
    let output = toolbox
        .command("mkfs.erofs")?
        .args(OPTIONS)
        .args(["--quiet", "--tar=f", "-L", LABEL, "-U", &uuid])
        .arg(format!("-T{SOURCE_DATE_EPOCH}"))
        .arg(&part)
        .arg(&tar)
        .output()
        .context("cannot run mkfs.erofs")?;
    bar.finish_and_clear();
    if !output.status.success() {
        bail!(
            "mkfs.erofs failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    std::fs::remove_file(&tar)?;
    std::fs::rename(&part, path).with_context(|| format!("cannot move {}", part.display()))?;
    Ok(uuid)
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
