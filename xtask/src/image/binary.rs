//! The shipped binaries, `coracle` and the initrd's part of it: static, built by cargo, independent of where the checkout is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, bail};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The initrd's program, beside `coracle`.
const EARLY: &str = "coracle-early";

/// The binaries' contents.
#[derive(Debug)]
pub struct Binaries {
    /// For `system.erofs`.
    pub coracle: Arc<[u8]>,
    /// For the initrd.
    pub early: Arc<[u8]>,
}

impl Binaries {
    /// Reads `coracle` and what lies beside it.
    pub fn read(coracle: &Path) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            fs::read(path)
                .map(Arc::from)
                .with_context(|| format!("cannot read {}", path.display()))
        };
        let early = coracle.with_file_name(EARLY);
        let early = if early.exists() {
            &early
        } else {
            eprintln!(
                "there is no {}: the initrd gets all of coracle",
                early.display()
            );
            coracle
        };
        Ok(Self {
            coracle: read(coracle)?,
            early: read(early)?,
        })
    }
}

/// Builds both and returns the path of `coracle`.
pub fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("no home directory")?;
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        // At a fixed address, like Go's programs. A static program that can be anywhere relocates itself at each start: 110 page
        // faults, half a megabyte that is not shared, a tenth more code; and every container starts a few of them.
        "-Crelocation-model=static".to_owned(),
        format!("--remap-path-prefix={}=/coracle", root.display()),
        format!("--remap-path-prefix={}=/cargo", home.display()),
    ];
    let status = Command::new(cargo)
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--release",
            "--package",
            "coracle",
            "--package",
            "coracle-init",
            "--bin",
            "coracle",
            "--bin",
            EARLY,
            "--target",
            TARGET,
        ])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTFLAGS")
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo build of coracle failed ({status})");
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(TARGET).join("release/coracle"))
}
