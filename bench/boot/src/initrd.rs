//! Puts the probe in front of an initrd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use coracle_testkit::Project;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the probe as a static program, and returns where it is.
pub fn build_probe(project: &Project) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(project.root())
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            env!("CARGO_PKG_NAME"),
            "--bin",
            "probe",
            "--target",
            TARGET,
        ])
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-Ctarget-feature=+crt-static",
        )
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the probe cannot be built");
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| project.root().join("target"), PathBuf::from);
    Ok(target.join(TARGET).join("release/probe"))
}

/// Writes an initrd that holds the probe and then what `initrd` holds. The kernel unpacks archives one after the other.
pub fn with_probe(probe: &Path, initrd: &Path, to: &Path) -> Result<()> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Vec::new();
    append(&mut archive, 1, "probe", 0o100_755, &read(probe)?)?;
    append(&mut archive, 2, "probe-proc", 0o040_755, &[])?;
    append(&mut archive, 0, "TRAILER!!!", 0, &[])?;
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive.extend(read(initrd)?);
    fs::write(to, archive).with_context(|| format!("cannot write {}", to.display()))
}

/// Appends an entry in the format `newc` (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst).
fn append(archive: &mut Vec<u8>, inode: u32, name: &str, mode: u32, content: &[u8]) -> Result<()> {
    let size = u32::try_from(content.len()).context("the probe is too large")?;
    let name_size = u32::try_from(name.len() + 1).context("the name is too long")?;
    let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes().chain([0]));
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_named() {
        let mut archive = Vec::new();
        append(&mut archive, 1, "probe", 0o100_755, b"hello").unwrap();
        let header = "070701\
            00000001000081ed0000000000000000000000010000000000000005\
            0000000000000000000000000000000000000006\
            00000000";
        let mut expected = header.as_bytes().to_vec();
        expected.extend(b"probe\0hello\0\0\0");
        assert_eq!(
            String::from_utf8_lossy(&archive),
            String::from_utf8_lossy(&expected)
        );
    }
}
