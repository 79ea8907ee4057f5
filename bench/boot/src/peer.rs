//! The Debian machine that Coracle is compared with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use coracle_testkit::Project;
use sha2::{Digest, Sha256};

const SUITE: &str = "trixie";
const MIRROR: &str = "http://deb.debian.org/debian";

/// A small server with Docker: what Debian recommends is left out, which makes it start sooner.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "dbus",
    "docker-cli",
    "docker.io",
    "iproute2",
    "iptables",
    "linux-image-cloud-amd64",
    "openssh-server",
    "sudo",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
];

/// Run in the new root as `sh -c`, with the root's path as `$1`.
const CUSTOMIZE: &[&str] = &[
    r#"echo peer > "$1/etc/hostname""#,
    r#"echo 'LABEL=root / ext4 errors=remount-ro 0 1' > "$1/etc/fstab""#,
    r#"printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' > "$1/etc/systemd/network/80-dhcp.network""#,
    r#"chroot "$1" systemctl enable systemd-networkd"#,
    r#"mkdir -p "$1/etc/systemd/system/serial-getty@ttyS0.service.d""#,
    r#"printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200,57600,38400,9600 - $TERM\n' > "$1/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf""#,
    r#"mkdir -p -m 700 "$1/root/.ssh""#,
    r#"rm -f "$1/etc/resolv.conf" && echo nameserver 10.0.2.3 > "$1/etc/resolv.conf""#,
];

const DISK_MIB: u64 = 2048;

/// The built machine.
#[derive(Debug, Clone)]
pub struct Peer {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    pub disk: PathBuf,
    /// Bytes of the files in its root file system.
    pub installed_bytes: u64,
    /// Bytes of its disk as a compressed qcow2 image.
    pub compressed_bytes: u64,
}

impl Peer {
    /// Builds the peer, or finds it in the cache. `public_key` is let in as root.
    pub fn open(project: &Project, public_key: &str) -> Result<Self> {
        let recipe = format!("{SUITE} {MIRROR} {PACKAGES:?} {CUSTOMIZE:?} {DISK_MIB} {public_key}");
        let digest: String = Sha256::digest(recipe)
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let dir = project.cache().join("bench").join(format!("peer-{digest}"));
        let finished = dir.join("installed-bytes");
        if !finished.exists() {
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
            build(project, &dir, public_key)?;
        }
        let size = fs::read_to_string(&finished)
            .with_context(|| format!("cannot read {}", finished.display()))?;
        Ok(Self {
            kernel: dir.join("vmlinuz"),
            initrd: dir.join("initrd.img"),
            disk: dir.join("root.img"),
            installed_bytes: size
                .trim()
                .parse()
                .context("the peer's size is no number; remove .cache/bench")?,
            compressed_bytes: dir.join("root.qcow2").metadata()?.len(),
        })
    }
}

fn build(project: &Project, dir: &Path, public_key: &str) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the Debian peer has to be built once as root (mmdebstrap makes a root file system with its owners)"
    );
    println!("building the Debian peer with mmdebstrap (once, about two minutes)");
    let root = dir.join("root");
    let mut command = Command::new("mmdebstrap");
    command.args([
        "--variant=minbase",
        "--format=directory",
        "--aptopt=Acquire::Languages \"none\"",
    ]);
    command.arg(format!("--include={}", PACKAGES.join(",")));
    for hook in CUSTOMIZE {
        command.arg(format!("--customize-hook={hook}"));
    }
    command.arg(format!(
        "--customize-hook=echo '{public_key}' > \"$1/root/.ssh/authorized_keys\""
    ));
    command.arg(SUITE).arg(&root).arg(MIRROR);
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    let output = command
        .output()
        .context("cannot run mmdebstrap: install it (apt-get install mmdebstrap)")?;
    if !output.status.success() {
        bail!(
            "mmdebstrap failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    copy_newest(&root.join("boot"), "vmlinuz-", &dir.join("vmlinuz"))?;
    copy_newest(&root.join("boot"), "initrd.img-", &dir.join("initrd.img"))?;
    let disk = dir.join("root.img");
    let toolbox = project.toolbox()?;
    let mut command = toolbox.command("mkfs.ext4")?;
    command.args([
        "-q",
        "-F",
        "-L",
        "root",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
        "-d",
    ]);
    run(command.arg(&root).arg(&disk).arg(format!("{DISK_MIB}M")))?;
    let mut command = toolbox.command("qemu-img")?;
    run(command
        .args(["convert", "-c", "-f", "raw", "-O", "qcow2"])
        .arg(&disk)
        .arg(dir.join("root.qcow2")))?;
    let mut command = Command::new("du");
    let output = command
        .args(["-s", "--block-size=1"])
        .arg(&root)
        .output()
        .context("cannot run du")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let bytes = text
        .split_whitespace()
        .next()
        .context("du printed nothing")?;
    fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    // Written last: it says that the rest is complete.
    fs::write(dir.join("installed-bytes"), bytes).context("cannot write the peer's size")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .context("cannot run a tool of the toolbox")?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn copy_newest(dir: &Path, prefix: &str, to: &Path) -> Result<()> {
    let mut names: Vec<PathBuf> = fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    names.retain(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    });
    names.sort();
    let newest = names
        .last()
        .with_context(|| format!("no {prefix} in {}", dir.display()))?;
    fs::copy(newest, to).with_context(|| format!("cannot copy {}", newest.display()))?;
    Ok(())
}
