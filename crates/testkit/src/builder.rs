use std::fs;
use std::path::{Path, PathBuf};

use crate::arguments::Machine;
use crate::qemu::Paused;
use crate::{Accelerator, Error, Forward, Medium, Project, Result, Seed, Ssh, StateDir, Vm, disk};

/// What the machine starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// QEMU loads the kernel and the initrd; `system` is attached as a disk of its own.
    Kernel {
        /// The kernel image.
        kernel: PathBuf,
        /// The initial RAM disk.
        initrd: Option<PathBuf>,
        /// `system.erofs` or a root file system.
        system: Option<Disk>,
        /// The kernel's command line.
        command_line: String,
    },
    /// The firmware starts an ISO image.
    Iso(PathBuf, IsoAs),
    /// The firmware starts the state disk or the first extra disk.
    Disk,
}

/// How an ISO image is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsoAs {
    /// SATA CD drive.
    Cd,
    /// USB disk.
    Usb,
}

/// The machine's firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
}

/// A disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image file.
    pub path: PathBuf,
    /// QEMU's name of its format: `raw` or `qcow2`.
    pub format: &'static str,
    /// The guest cannot write.
    pub read_only: bool,
    /// What the guest writes is dropped at the end.
    pub snapshot: bool,
}

impl Disk {
    /// A raw image that the guest writes to.
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: "raw",
            read_only: false,
            snapshot: false,
        }
    }

    /// The guest cannot write.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// What the guest writes is dropped at the end.
    #[must_use]
    pub const fn snapshot(mut self) -> Self {
        self.snapshot = true;
        self
    }
}

/// Kernel command line of a machine that QEMU loads the kernel of: log in on screen and serial console without a password, and
/// have a panicked kernel start anew.
const COMMAND_LINE: &str = "console=tty1 console=ttyS0 rancher.autologin=tty1 rancher.autologin=ttyS0 printk.devkmsg=on panic=10 quiet";

/// A machine to be.
#[derive(Debug, Clone)]
pub struct VmBuilder {
    project: Project,
    name: String,
    memory_mib: u32,
    cpus: u32,
    firmware: Firmware,
    boot: Option<Boot>,
    append: Vec<String>,
    state_disk: Option<PathBuf>,
    disks: Vec<Disk>,
    user_data: String,
    seed: Option<Seed>,
    medium: Medium,
    key: bool,
    forwards: Vec<Forward>,
    user: String,
    detached: bool,
    second_serial: bool,
}

impl VmBuilder {
    pub(crate) fn new(project: Project) -> Self {
        Self {
            project,
            name: "default".into(),
            memory_mib: 1024,
            cpus: 2,
            firmware: Firmware::Bios,
            boot: None,
            append: Vec::new(),
            state_disk: None,
            disks: Vec::new(),
            user_data: String::new(),
            seed: None,
            medium: Medium::Iso,
            key: true,
            forwards: vec![Forward::to(22)],
            user: crate::GUEST_USER.into(),
            detached: false,
            second_serial: false,
        }
    }

    /// Name of the machine and of its directory `.cache/vm/<name>/`; `default` unless set.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// RAM in MiB; 1024 unless set.
    #[must_use]
    pub const fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Processors; 2 unless set.
    #[must_use]
    pub const fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Firmware; BIOS unless set.
    #[must_use]
    pub const fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// What to start from; `vmlinuz`, `initrd` and `system.erofs` of `dist/` unless set.
    #[must_use]
    pub fn boot(mut self, boot: Boot) -> Self {
        self.boot = Some(boot);
        self
    }

    /// Adds to the kernel's command line, when QEMU loads the kernel.
    #[must_use]
    pub fn append(mut self, arguments: &str) -> Self {
        self.append.push(arguments.to_owned());
        self
    }

    /// The disk for everything that changes. It is the first disk, `/dev/vda`. It is created by the caller ([`crate::create_ext4`]).
    #[must_use]
    pub fn state_disk(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_disk = Some(path.into());
        self
    }

    /// Adds a disk, behind the state disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// The cloud-config that the guest finds on a `config-2` volume, together with the SSH key.
    #[must_use]
    pub fn user_data(mut self, text: impl Into<String>) -> Self {
        self.user_data = text.into();
        self
    }

    /// A configuration volume made by the caller, in place of the usual one; it has to bring the SSH key itself
    /// ([`VmBuilder::public_key`]).
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// File system of the `config-2` volume; iso9660 unless set.
    #[must_use]
    pub const fn seed_medium(mut self, medium: Medium) -> Self {
        self.medium = medium;
        self
    }

    /// No configuration volume at all.
    #[must_use]
    pub const fn without_seed(mut self) -> Self {
        self.key = false;
        self
    }

    /// Forwards a port of the host's loopback address. Port 22 is always forwarded, to a free host port unless set here.
    #[must_use]
    pub fn forward(mut self, forward: Forward) -> Self {
        self.forwards.retain(|known| known.guest != forward.guest);
        self.forwards.push(forward);
        self
    }

    /// User that commands run as; `rancher` unless set.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// A second serial port, whose output goes to [`Vm::second_serial`].
    #[must_use]
    pub const fn second_serial(mut self) -> Self {
        self.second_serial = true;
        self
    }

    /// The machine lives on when this process ends.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// The machine's directory.
    ///
    /// # Errors
    /// The name is no plain file name.
    pub fn state_dir(&self) -> Result<StateDir> {
        StateDir::named(&self.project, &self.name)
    }

    /// The public key that the guest has to let in, made on first use.
    ///
    /// # Errors
    /// `ssh-keygen` is missing or fails.
    pub fn public_key(&self) -> Result<String> {
        let dir = self.state_dir()?;
        fs::create_dir_all(dir.path()).map_err(Error::io("create", dir.path()))?;
        Ssh::public_key(dir.path())
    }

    /// Powers the machine on.
    ///
    /// # Errors
    /// A file is missing, a machine of this name runs already, or QEMU refuses.
    pub fn start(self) -> Result<Vm> {
        self.load()?.power_on()
    }

    /// Gets the machine ready up to the power button.
    ///
    /// # Errors
    /// As [`VmBuilder::start`].
    pub fn load(self) -> Result<Paused> {
        let dir = self.state_dir()?;
        if dir.running().is_some() {
            return Err(Error::AlreadyRunning(self.name));
        }
        dir.prepare()?;
        let machine = self.machine(&dir)?;
        let command = self.project.toolbox()?.command("qemu-system-x86_64")?;
        Paused::spawn(dir, command, &machine, self.user, self.detached)
    }

    fn machine(&self, dir: &StateDir) -> Result<Machine> {
        let boot = self.resolve_boot()?;
        let mut disks: Vec<Disk> = self
            .state_disk
            .iter()
            .map(Disk::raw)
            .chain(self.disks.iter().cloned())
            .collect();
        if self.key {
            let seed = match &self.seed {
                Some(seed) => seed.clone(),
                None => self.usual_seed()?,
            };
            disks.push(Disk::raw(seed.write(&self.project, dir.path())?).read_only());
        }
        if let Boot::Kernel {
            system: Some(system),
            ..
        } = &boot
        {
            disks.push(system.clone());
        }
        for disk in &mut disks {
            disk.path = existing(&disk.path)?;
        }
        let kernel = match &boot {
            Boot::Kernel { kernel, .. } => Some(kernel.clone()),
            _ => self.project.dist("vmlinuz").ok(),
        };
        Ok(Machine {
            name: self.name.clone(),
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            accelerator: Accelerator::choose(&self.project, kernel.as_deref())?,
            firmware: self.resolve_firmware(dir)?,
            boot,
            disks,
            forwards: self.forwards.clone(),
            dir: dir.path().into(),
            second_serial: self.second_serial,
        })
    }

    fn resolve_boot(&self) -> Result<Boot> {
        let mut boot = match &self.boot {
            Some(boot) => boot.clone(),
            None => Boot::Kernel {
                kernel: self.project.dist("vmlinuz")?,
                initrd: Some(self.project.dist("initrd")?),
                system: Some(Disk::raw(self.project.dist("system.erofs")?).read_only()),
                command_line: COMMAND_LINE.into(),
            },
        };
        match &mut boot {
            Boot::Kernel {
                kernel,
                initrd,
                command_line,
                ..
            } => {
                *kernel = existing(kernel)?;
                if let Some(initrd) = initrd {
                    *initrd = existing(initrd)?;
                }
                for arguments in &self.append {
                    command_line.push(' ');
                    command_line.push_str(arguments);
                }
            }
            Boot::Iso(iso, _) => *iso = existing(iso)?,
            Boot::Disk => {}
        }
        Ok(boot)
    }

    /// (code, variables) of OVMF, the variables copied for this machine.
    fn resolve_firmware(&self, dir: &StateDir) -> Result<Option<(PathBuf, PathBuf)>> {
        if self.firmware == Firmware::Bios {
            return Ok(None);
        }
        let toolbox = self.project.toolbox()?;
        let code = toolbox.file("usr/share/OVMF/OVMF_CODE_4M.fd")?;
        let template = toolbox.file("usr/share/OVMF/OVMF_VARS_4M.fd")?;
        let variables = dir.file("ovmf-vars.fd");
        fs::copy(template, &variables).map_err(Error::io("write", &variables))?;
        Ok(Some((code, variables)))
    }

    fn usual_seed(&self) -> Result<Seed> {
        let meta_data = serde_json::json!({
            "uuid": self.name,
            "public_keys": {"testkit": self.public_key()?},
        });
        Ok(Seed::config_2(self.user_data.clone(), meta_data.to_string()).on(self.medium))
    }

    /// Makes the state disk `state.img` in the machine's directory, unless it exists, and attaches it. It is an ext4 file system
    /// with the label that Coracle looks for.
    ///
    /// # Errors
    /// The disk cannot be made.
    pub fn own_state_disk(self, size_mib: u64) -> Result<Self> {
        let dir = self.state_dir()?;
        fs::create_dir_all(dir.path()).map_err(Error::io("create", dir.path()))?;
        let path = dir.file("state.img");
        if !path.exists() {
            disk::create_ext4(&self.project, &path, size_mib, "RANCHER_STATE")?;
        }
        Ok(self
            .state_disk(path)
            .append("rancher.state.dev=LABEL=RANCHER_STATE"))
    }
}

/// QEMU runs in the machine's directory: paths must not depend on ours.
fn existing(path: &Path) -> Result<PathBuf> {
    if !path.exists() {
        return Err(Error::NoFile(path.into()));
    }
    std::path::absolute(path).map_err(Error::io("resolve", path))
}
