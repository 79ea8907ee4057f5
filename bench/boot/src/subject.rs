//! The two machines that are compared, described alike.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use coracle_testkit::{BOOT_LIMIT, Boot, Disk, Project, Vm, VmBuilder, create_ext4};

use crate::initrd;
use crate::peer::Peer;

/// Kernel command line of both.
const COMMAND_LINE: &str = "console=tty1 console=ttyS0 quiet panic=10 rdinit=/probe";

/// What sits in the memory between boot and measurement must not depend on how long the host was busy.
const SETTLE: Duration = Duration::from_secs(20);

/// A machine that boots from a kernel, an initrd with the probe, and disks that keep nothing of a run.
#[derive(Debug, Clone)]
pub struct Subject {
    pub name: &'static str,
    kernel: PathBuf,
    initrd: PathBuf,
    command_line: String,
    /// Everything that changes; made by priming.
    disk: PathBuf,
    /// Coracle's read-only part.
    system: Option<PathBuf>,
    /// What a shell on the serial console shows when it is ready.
    pub prompt: &'static str,
    user: &'static str,
    power_off: &'static str,
    /// Files that are handed out, in bytes.
    pub shipped_bytes: u64,
    /// Files as installed, in bytes.
    pub installed_bytes: u64,
}

impl Subject {
    /// Coracle as built in `dist/`, with a state disk as after an installation.
    pub fn coracle(project: &Project, probe: &std::path::Path) -> Result<Self> {
        let dir = work_dir(project)?;
        let [kernel, initrd, system] =
            ["vmlinuz", "initrd", "system.erofs"].map(|name| project.dist(name));
        let (kernel, initrd, system) = (kernel?, initrd?, system?);
        let mut size = 0;
        for path in [&kernel, &initrd, &system] {
            size += path.metadata()?.len();
        }
        let with_probe = dir.join("coracle-initrd");
        initrd::with_probe(probe, &initrd, &with_probe)?;
        let disk = dir.join("coracle-state.img");
        create_ext4(project, &disk, 2048, "RANCHER_STATE")?;
        Ok(Self {
            name: "coracle",
            kernel,
            initrd: with_probe,
            command_line: format!(
                "{COMMAND_LINE} rancher.autologin=ttyS0 rancher.state.dev=LABEL=RANCHER_STATE"
            ),
            disk,
            system: Some(system),
            prompt: "rancher@",
            user: "rancher",
            power_off: "sudo poweroff",
            shipped_bytes: size,
            installed_bytes: size,
        })
    }

    /// The Debian peer.
    pub fn debian(project: &Project, probe: &std::path::Path) -> Result<Self> {
        let key = builder(project, "bench-debian").public_key()?;
        let peer = Peer::open(project, &key)?;
        let dir = work_dir(project)?;
        let initrd = dir.join("debian-initrd");
        initrd::with_probe(probe, &peer.initrd, &initrd)?;
        let disk = dir.join("debian-root.img");
        fs::copy(&peer.disk, &disk).with_context(|| format!("cannot write {}", disk.display()))?;
        Ok(Self {
            name: "debian",
            kernel: peer.kernel,
            initrd,
            command_line: format!("{COMMAND_LINE} root=LABEL=root rw"),
            disk,
            system: None,
            prompt: "root@peer",
            user: "root",
            power_off: "systemctl poweroff",
            shipped_bytes: peer.compressed_bytes,
            installed_bytes: peer.installed_bytes,
        })
    }

    /// The machine; `keep` writes to its disk for good.
    pub fn machine(&self, project: &Project, keep: bool) -> VmBuilder {
        let disk = Disk::raw(&self.disk);
        let machine = builder(project, &format!("bench-{}", self.name))
            .user(self.user)
            .second_serial()
            .boot(Boot::Kernel {
                kernel: self.kernel.clone(),
                initrd: Some(self.initrd.clone()),
                system: self.system.as_ref().map(|path| Disk::raw(path).read_only()),
                command_line: self.command_line.clone(),
            })
            .disk(if keep { disk } else { disk.snapshot() });
        // Coracle reads its SSH key from a volume; Debian has it on its disk and would not look.
        if self.system.is_some() {
            machine
        } else {
            machine.without_seed()
        }
    }

    /// First boot: host keys, caches and databases are made, and the test image is loaded, so that the runs are like any later boot.
    pub fn prime(&self, project: &Project) -> Result<()> {
        println!("{}: first boot", self.name);
        let vm = self.machine(project, true).start()?;
        let port = vm.second_serial().context("no second serial port")?;
        port.wait_for("answers docker\r\n", BOOT_LIMIT)?;
        vm.wait_for_ssh(BOOT_LIMIT)?;
        vm.copy_in(
            &coracle_testkit::busybox_archive(project)?,
            "/tmp/busybox.tar",
        )?;
        vm.run("docker load -i /tmp/busybox.tar && docker run --rm busybox:test true")?;
        // Not a wait for something: first-boot jobs may still write.
        std::thread::sleep(SETTLE);
        vm.qmp().forget_events();
        let _ = vm.exec(self.power_off);
        vm.wait_for_power_off(BOOT_LIMIT)?;
        Ok(())
    }
}

fn builder(project: &Project, name: &str) -> VmBuilder {
    Vm::builder(project.clone()).name(name)
}

fn work_dir(project: &Project) -> Result<PathBuf> {
    let dir = project.cache().join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}
