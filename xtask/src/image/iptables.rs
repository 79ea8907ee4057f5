//! A statically linked iptables, built from Debian's source.
//!
//! dockerd starts iptables some 140 times when it starts. Most of the time of each is spent in the dynamic linker and in
//! loading extensions; a static program that has its extensions built in takes a tenth of it.
//! The program is what its authors released, checked by Debian's signed index, with our corrections from `images/iptables`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use coracle_toolbox::{Suite, unpack};
use indicatif::ProgressBar;

use super::digest::Digest;
use super::packages::Packages;
use super::tree::{Entry, SOURCE_DATE_EPOCH, Tree};

const FORMAT: &str = "1";

/// Packages with the static libraries that it is linked with.
pub const LIBRARIES: &[&str] = &["libmnl-dev", "libnftnl-dev"];

/// The names under which the one program is called.
const NAMES: &[&str] = &[
    "ip6tables",
    "ip6tables-restore",
    "ip6tables-save",
    "iptables",
    "iptables-restore",
    "iptables-save",
];

const PROGRAM: &str = "xtables-nft-multi";

/// Builds it, or takes it from the cache when source, corrections, libraries and compiler are the same. Returns the hash of
/// those, and the files.
pub fn build(images: &Path, cache: &Path, packages: &Packages) -> anyhow::Result<(String, Tree)> {
    let archive = packages.archive(Suite::Trixie)?;
    let source = archive.source("iptables")?;
    let corrections = corrections(&images.join("iptables"))?;
    let mut key = Digest::default();
    key.field(FORMAT).field(compiler()?);
    key.field(source.upstream().map_or("", |(_, sha256)| sha256));
    for correction in &corrections {
        key.field(fs::read(correction)?);
    }
    for name in LIBRARIES {
        key.field(&packages.get(Suite::Trixie, name)?.sha256);
    }
    let key = key.hex();
    let program = cache.join(format!("iptables-{key:.16}"));
    if !program.exists() {
        fs::create_dir_all(cache)?;
        let work = tempfile::tempdir_in(cache)?;
        let root = work.path().join("libraries");
        for name in LIBRARIES {
            let package = packages.get(Suite::Trixie, name)?;
            unpack(&archive.path(package), &root)?;
        }
        let tarball = archive.fetch_upstream(&source)?;
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.set_message("building a static iptables");
        let built = compile(work.path(), &root.join("usr"), &tarball, &corrections);
        bar.finish_and_clear();
        fs::rename(built?, &program).context("cannot move the built iptables")?;
    }
    let mut tree = Tree::default();
    tree.insert(PROGRAM, Entry::file(fs::read(&program)?, 0o755));
    for name in NAMES {
        tree.insert(name, Entry::symlink(PROGRAM));
    }
    Ok((key, tree))
}

fn corrections(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "patch")
    });
    paths.sort();
    Ok(paths)
}

/// The compiler's version: another one gives another program.
pub fn compiler() -> anyhow::Result<Vec<u8>> {
    let output = Command::new("gcc").arg("--version").output();
    Ok(output.context("cannot run gcc; run \"make setup\"")?.stdout)
}

/// Returns the path of the program, stripped.
fn compile(
    work: &Path,
    usr: &Path,
    tarball: &Path,
    corrections: &[PathBuf],
) -> anyhow::Result<PathBuf> {
    let source = work.join("source");
    fs::create_dir(&source)?;
    run(
        Command::new("tar")
            .args(["--extract", "--strip-components=1", "--file"])
            .arg(tarball),
        &source,
    )?;
    for correction in corrections {
        let patch = fs::File::open(correction)?;
        run(
            Command::new("patch")
                .args(["--strip=1", "--batch"])
                .stdin(patch),
            &source,
        )?;
    }
    let include = format!("-I{}", usr.join("include").display());
    let libraries = format!("-L{}", usr.join("lib/x86_64-linux-gnu").display());
    run(
        Command::new("./configure")
            .args([
                "--prefix=/usr",
                "--enable-static",
                "--disable-shared",
                "--disable-devel",
            ])
            .args(["--disable-connlabel", "--disable-libipq"])
            .env(
                "CFLAGS",
                format!(
                    "-Os -ffunction-sections -fdata-sections -ffile-prefix-map={}=.",
                    work.display()
                ),
            )
            .env("libmnl_CFLAGS", &include)
            .env("libmnl_LIBS", format!("{libraries} -lmnl"))
            .env("libnftnl_CFLAGS", &include)
            .env("libnftnl_LIBS", format!("{libraries} -lnftnl -lmnl"))
            // All it would be asked is answered above.
            .env("PKG_CONFIG", "true"),
        &source,
    )?;
    run(
        Command::new("make")
            .arg("--jobs=2")
            .args(["SUBDIRS=include libiptc libxtables extensions iptables"])
            .args(["LDFLAGS=-all-static -Wl,--gc-sections -Wl,--build-id=none -s"])
            // The release holds their output; time stamps must not start them.
            .args(["ACLOCAL=:", "AUTOCONF=:", "AUTOHEADER=:", "AUTOMAKE=:"]),
        &source,
    )?;
    Ok(source.join("iptables").join(PROGRAM))
}

fn run(command: &mut Command, dir: &Path) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(dir)
        .env("LC_ALL", "C")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot run {name}; run \"make setup\""))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().rev().take(20).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    bail!(
        "{name} failed ({}) while building iptables:\n{}",
        output.status,
        last.join("\n")
    )
}
