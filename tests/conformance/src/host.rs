//! Both engines on this machine, each in mount, pid and network namespaces of its own, with a mirror of Docker Hub beside it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use coracle_testkit::Project;
use tempfile::TempDir;

use crate::engine::Pair;
use crate::registry;

/// Where the mirror listens, in each of the network namespaces.
const MIRROR: &str = "127.0.0.1:5000";

/// What both scripts begin with. `/mnt` is where tests want directories of the engine's machine.
const BEGIN: &str = r#"
set -e
ip link set lo up
mount -t tmpfs none /mnt
# In mounts of its own: dockerd's root will be another.
unshare --mount docker-registry serve "$DIR/registry/config.yml" >/dev/null 2>&1 || echo "SKIPPED: pulls need docker-registry (package docker-registry)" &
"#;

const SYSTEM_DOCKER: &str = r#"
mount --make-rshared /
mount -t cgroup2 none /sys/fs/cgroup
exec "$CORACLE" engine --root "$DIR/system-docker" --exec-root "$DIR/run" --socket "$DIR/system-docker.sock" \
  --cgroup-parent /coracle-conformance --registry-mirror "http://$MIRROR"
"#;

/// The tree is that of the image's docker layer on what it needs; dockerd's data are beside it, on a disk.
const DOCKERD: &str = r#"
cd "$DIR/tree"
mount --bind . .
cd "$DIR/tree"
mount --rbind /sys sys
mount --rbind /dev dev
mount -t proc none proc
for dir in run tmp mnt; do mount -t tmpfs none $dir; done
mount --make-shared tmp
mkdir -p data old
mount --bind "$DIR" data
# With chroot alone, processes that enter a container's mount namespace would find this machine's root.
pivot_root . old
export PATH=/usr/bin:/usr/sbin
busybox umount -l /old
exec /usr/bin/dockerd --data-root /data/dockerd --exec-root /run/docker --pidfile /run/dockerd.pid \
  --host unix:///data/dockerd.sock --registry-mirror "http://$MIRROR"
"#;

/// Options of `host`.
#[derive(Debug, Args)]
pub struct Options {
    /// The coracle binary.
    #[arg(long, value_name = "FILE", default_value = "target/debug/coracle")]
    coracle: PathBuf,
    /// Where `cargo xtask image` keeps layers, of which `base`, `console` and `docker` are used; `.cache/layers` unless given.
    #[arg(long, value_name = "DIR")]
    layers: Option<PathBuf>,
}

/// The engines; they end, and all that they had goes, with the value.
#[derive(Debug)]
pub struct Engines {
    processes: Vec<Child>,
    pair: Pair,
    _dir: TempDir,
}

impl Engines {
    /// Their sockets.
    pub const fn pair(&self) -> &Pair {
        &self.pair
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Process 1 of a pid namespace ends with unshare(1), and all others with it.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Starts both engines.
///
/// # Errors
/// This is not root's process, there are no layers, or an engine does not start.
pub fn start(options: &Options, project: &Project, logs: &Path) -> Result<Engines> {
    let layers = match &options.layers {
        Some(layers) => layers.clone(),
        None => project.cache().join("layers"),
    };
    let coracle = std::path::absolute(&options.coracle)?;
    ensure!(
        coracle.exists(),
        "{} is missing; `cargo build -p coracle` makes it",
        coracle.display()
    );
    let dir = tempfile::Builder::new()
        .prefix("conformance-")
        .tempdir()
        .context("cannot create a directory")?;
    let tree = dir.path().join("tree");
    fs::create_dir(&tree)?;
    for name in ["base", "console", "docker"] {
        unpack(&newest(&layers, name)?, &tree)?;
    }
    registry::write(&dir.path().join("registry"), MIRROR)?;
    let pair = Pair::new(
        &dir.path().join("system-docker.sock"),
        &dir.path().join("dockerd.sock"),
    );
    let mut engines = Engines {
        processes: Vec::new(),
        pair,
        _dir: dir,
    };
    for (name, script, ready) in [
        ("dockerd", DOCKERD, "API listen on"),
        ("system-docker", SYSTEM_DOCKER, "System Docker listens on"),
    ] {
        let log = logs.join(format!("{name}.log"));
        let process = launch(engines._dir.path(), &coracle, script)?;
        engines.processes.push(process);
        let process = engines.processes.last_mut().context("no process")?;
        wait_until_ready(process, ready, &log)
            .with_context(|| format!("{name} does not start; see {}", log.display()))?;
    }
    Ok(engines)
}

/// Whether System Docker can limit anything here.
pub fn has_controllers() -> bool {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .filter_map(|dir| fs::read_to_string(format!("{dir}/cgroup.controllers")).ok())
        .any(|controllers| controllers.split_whitespace().any(|name| name == "memory"))
}

/// The newest layer of an image: `<name>-<16 digits>.tar`.
fn newest(layers: &Path, name: &str) -> Result<PathBuf> {
    let mut found: Option<(SystemTime, PathBuf)> = None;
    let entries =
        fs::read_dir(layers).with_context(|| format!("cannot read {}", layers.display()))?;
    for entry in entries {
        let entry = entry?;
        if is_layer_of(&entry.file_name().to_string_lossy(), name) {
            let time = entry.metadata()?.modified()?;
            if found.as_ref().is_none_or(|(newest, _)| *newest < time) {
                found = Some((time, entry.path()));
            }
        }
    }
    let (_, path) = found.with_context(|| {
        format!(
            "{} has no layer of {name}; `cargo xtask image` makes it",
            layers.display()
        )
    })?;
    Ok(path)
}

fn is_layer_of(file: &str, name: &str) -> bool {
    file.strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(".tar"))
        .is_some_and(|digits| {
            digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

fn unpack(archive: &Path, tree: &Path) -> Result<()> {
    let status = Command::new("tar")
        .arg("-xf")
        .arg(archive)
        .arg("-C")
        .arg(tree)
        .status()
        .context("cannot run tar")?;
    ensure!(status.success(), "cannot unpack {}", archive.display());
    Ok(())
}

fn launch(dir: &Path, coracle: &Path, script: &str) -> Result<Child> {
    // It ends with this program, however that ends.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(["unshare", "--mount", "--pid", "--net", "--fork"])
        .args(["--mount-proc", "--kill-child", "sh", "-c"])
        .arg(format!("{BEGIN}{script}"))
        .env("DIR", dir)
        .env("CORACLE", coracle)
        .env("MIRROR", MIRROR)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run unshare(1)")
}

/// Returns when the engine says `ready`; what it says then goes on to the log.
fn wait_until_ready(process: &mut Child, ready: &str, log: &Path) -> Result<()> {
    let mut file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let stderr = process.stderr.take().context("no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        writeln!(file, "{line}")?;
        if line.contains(ready) {
            thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    // A log that cannot be written must not stop the engine.
                    let _ = writeln!(file, "{line}");
                }
            });
            return Ok(());
        }
    }
    bail!("it ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_known_by_their_names() {
        for (file, expected) in [
            ("docker-c7cafe79acd0beb5.tar", true),
            ("docker-compose-9913023ba1e7c7f4.tar", false),
            ("docker-c7cafe79acd0beb5.tar.part", false),
            ("console-c7cafe79acd0beb5.tar", false),
        ] {
            assert_eq!(is_layer_of(file, "docker"), expected, "{file}");
        }
    }
}
