//! Both engines in a virtual machine: its User Docker, and a System Docker beside it, as a plain process of the console. The machine's own
//! System Docker is left alone: the tests remove what they find.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;
use coracle_testkit::{BOOT_LIMIT, Project, Vm};
use tempfile::TempDir;

use crate::engine::Pair;
use crate::registry;

/// Where the guest finds the mirror of Docker Hub.
const MIRROR_PORT: u16 = 5000;
/// Everything of System Docker is here, on a tmpfs: the console's root is an overlay, which takes no other on top.
const DIR: &str = "/run/conformance";
/// Both engines and the mirror are reached through the console's sshd, which forwards nothing unless told to, sockets included. System
/// Docker answers root alone, so it is root who logs in, with the key that the machine gave to the user `rancher`.
const SSHD: &str = "\
write_files:
- path: /etc/ssh/sshd_config.d/conformance.conf
  content: |
    AllowTcpForwarding yes
    PermitRootLogin prohibit-password
    AllowGroups root
    AuthorizedKeysFile /home/rancher/.ssh/authorized_keys
    StrictModes no
";

/// Options of `vm`.
#[derive(Debug, Args)]
pub struct Options {
    /// The coracle binary, linked statically: the console has no libgcc.
    #[arg(long, value_name = "FILE", default_value = "target/debug/coracle")]
    coracle: PathBuf,
    /// RAM in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u32,
}

/// A machine with both engines; it ends with the value.
#[derive(Debug)]
pub struct Engines {
    pair: Pair,
    vm: Vm,
    mirror: Option<Child>,
    log: PathBuf,
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
        // What the engine said is for whoever reads the logs; its lack is no failure.
        let _ = self.vm.copy_out(&format!("{DIR}/engine.log"), &self.log);
        if let Some(mirror) = &mut self.mirror {
            let _ = mirror.kill();
            let _ = mirror.wait();
        }
    }
}

/// Boots the machine and starts System Docker in its console.
///
/// # Errors
/// There is no image in `dist/`, the machine does not boot, or the engine does not start.
pub fn start(options: &Options, project: Project, logs: &Path) -> Result<Engines> {
    let dir = tempfile::Builder::new()
        .prefix("conformance-")
        .tempdir()
        .context("cannot create a directory")?;
    let host_port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let storage = dir.path().join("registry");
    registry::write(&storage, &format!("127.0.0.1:{host_port}"))?;
    let mirror = Command::new("docker-registry")
        .arg("serve")
        .arg(storage.join("config.yml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mirror = match mirror {
        Ok(mirror) => Some(mirror),
        Err(_) => {
            println!("SKIPPED: pulls need docker-registry (package docker-registry)");
            None
        }
    };
    let vm = Vm::builder(project)
        .name("conformance")
        .memory_mib(options.memory)
        .append("quiet")
        .user("root")
        .user_data(format!(
            "#cloud-config\nrancher:\n  docker:\n    registry_mirror: http://127.0.0.1:{MIRROR_PORT}\n{SSHD}"
        ))
        .start()?;
    let pair = Pair::new(
        &dir.path().join("system-docker.sock"),
        &dir.path().join("dockerd.sock"),
    );
    let engines = Engines {
        pair,
        vm,
        mirror,
        log: logs.join("system-docker.log"),
        _dir: dir,
    };
    let vm = &engines.vm;
    vm.wait_for_ssh(BOOT_LIMIT)?;
    vm.run("wait-for-docker")?;
    vm.copy_in(&options.coracle, "/tmp/coracle")?;
    vm.run(&launcher())?;
    let ssh = vm.ssh()?;
    ssh.forward_port_back(MIRROR_PORT, host_port)?;
    let local = engines._dir.path();
    ssh.forward_socket(
        &local.join("system-docker.sock"),
        &format!("{DIR}/docker.sock"),
    )?;
    ssh.forward_socket(&local.join("dockerd.sock"), "/var/run/docker.sock")?;
    Ok(engines)
}

/// Starts the engine and returns when it listens.
fn launcher() -> String {
    format!(
        "set -e; mkdir -p {DIR}; chmod 755 /tmp/coracle; cd /; \
         setsid /tmp/coracle engine --root {DIR}/root --exec-root {DIR}/run --socket {DIR}/docker.sock \
         --cgroup-parent /conformance --bridge conformance0 --bip 172.31.0.1/16 \
         --registry-mirror http://127.0.0.1:{MIRROR_PORT} </dev/null >{DIR}/engine.log 2>&1 & \
         timeout 60 sh -c 'until grep -q \"System Docker listens on\" {DIR}/engine.log; do sleep 0.2; done'"
    )
}
