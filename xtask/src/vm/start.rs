use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use coracle_testkit::{
    Boot, Disk, Firmware, Forward, IsoAs, Paused, Project, StateDir, VmBuilder, create_blank,
};

use super::Name;

/// The machine to start.
#[derive(Debug, Args)]
pub struct Machine {
    #[command(flatten)]
    pub(super) name: Name,
    /// RAM in MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    memory: u32,
    /// Number of processors.
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Firmware.
    #[arg(long, value_enum, default_value_t = FirmwareName::Bios)]
    firmware: FirmwareName,
    /// Boot `dist/coracle.iso` as this kind of drive, instead of kernel and initrd.
    #[arg(long, value_enum, value_name = "DRIVE", num_args = 0..=1, default_missing_value = "cd", conflicts_with = "kernel")]
    iso: Option<IsoDrive>,
    /// Attach a raw disk image. Without --iso and --kernel the firmware boots the first one.
    #[arg(long, value_name = "FILE")]
    disk: Vec<PathBuf>,
    /// Keep what changes on a disk of this size: 4096 (MiB), 4G. It is made on first use and stays for the next machine of this name.
    #[arg(long, value_name = "SIZE", value_parser = parse_size_mib, conflicts_with = "iso")]
    state_disk: Option<u64>,
    /// Leave the new state disk empty, for `rancher.state.autoformat`.
    #[arg(long, requires = "state_disk")]
    blank: bool,
    /// Boot this kernel, with the initrd given and nothing else: `dist/system.erofs` is not attached.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The initrd for --kernel.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Hand this cloud-config to the guest.
    #[arg(long, value_name = "FILE")]
    cloud_config: Option<PathBuf>,
    /// Add to the kernel's command line.
    #[arg(
        long,
        value_name = "ARGS",
        allow_hyphen_values = true,
        conflicts_with = "iso"
    )]
    append: Vec<String>,
    /// Forward a port of 127.0.0.1 to the guest; host port 0 takes a free one. The guest's port 22 always is forwarded.
    #[arg(long = "port", value_name = "HOST:GUEST")]
    ports: Vec<Forward>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FirmwareName {
    Bios,
    Uefi,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IsoDrive {
    Cd,
    Usb,
}

impl Machine {
    /// Gets the machine ready to be powered on; it will outlive this process.
    pub(super) fn load(&self) -> anyhow::Result<Paused> {
        let project = Project::here();
        let mut builder = coracle_testkit::Vm::builder(project.clone())
            .name(&self.name.name)
            .memory_mib(self.memory)
            .cpus(self.cpus)
            .detached()
            .firmware(match self.firmware {
                FirmwareName::Bios => Firmware::Bios,
                FirmwareName::Uefi => Firmware::Uefi,
            });
        if let Some(boot) = self.boot(&project)? {
            builder = builder.boot(boot);
        }
        for arguments in &self.append {
            builder = builder.append(arguments);
        }
        for port in &self.ports {
            builder = builder.forward(*port);
        }
        if let Some(path) = &self.cloud_config {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read --cloud-config {}", path.display()))?;
            builder = builder.user_data(text);
        }
        builder = self.attach_state_disk(builder)?;
        for path in &self.disk {
            builder = builder.disk(Disk::raw(path));
        }
        Ok(builder.load()?)
    }

    fn boot(&self, project: &Project) -> anyhow::Result<Option<Boot>> {
        if let Some(drive) = self.iso {
            let attached = match drive {
                IsoDrive::Cd => IsoAs::Cd,
                IsoDrive::Usb => IsoAs::Usb,
            };
            return Ok(Some(Boot::Iso(project.dist("coracle.iso")?, attached)));
        }
        if let Some(kernel) = &self.kernel {
            return Ok(Some(Boot::Kernel {
                kernel: kernel.clone(),
                initrd: self.initrd.clone(),
                system: None,
                command_line: "console=tty1 console=ttyS0".into(),
            }));
        }
        if !self.disk.is_empty() {
            return Ok(Some(Boot::Disk));
        }
        Ok(None)
    }

    fn attach_state_disk(&self, builder: VmBuilder) -> anyhow::Result<VmBuilder> {
        let Some(size) = self.state_disk else {
            return Ok(builder);
        };
        if !self.blank {
            return Ok(builder.own_state_disk(size)?);
        }
        let path = self.name.dir()?.file("blank.img");
        if !path.exists() {
            let parent = path.parent().context("a state directory has a parent")?;
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
            create_blank(&path, size)?;
        }
        Ok(builder
            .state_disk(path)
            .append("rancher.state.dev=LABEL=RANCHER_STATE rancher.state.autoformat=[/dev/vda]"))
    }
}

/// Options of `cargo xtask vm start`.
#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    machine: Machine,
    /// Return only when a login over SSH works.
    #[arg(long)]
    wait: bool,
}

impl Start {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let dir = self.machine.load()?.power_on_and_leave()?;
        print_machine(&dir);
        if self.wait {
            dir.wait_for_ssh(coracle_testkit::GUEST_USER, coracle_testkit::BOOT_LIMIT)?;
        }
        Ok(())
    }
}

/// One line for each thing that the user may want to know.
pub(super) fn print_machine(dir: &StateDir) {
    super::tell(format_args!(
        "{}: serial log {}",
        dir.name(),
        dir.file("serial.log").display()
    ));
    for port in dir.ports() {
        super::tell(format_args!("  {port}"));
    }
}

/// `512`, `512M` or `4G`, in MiB.
fn parse_size_mib(text: &str) -> anyhow::Result<u64> {
    let (number, factor) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    match number.parse::<u64>() {
        Ok(number) if number > 0 => Ok(number * factor),
        _ => bail!("write a size in MiB or GiB, for example 4096 or 4G"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        for (text, expected) in [
            ("512", Some(512)),
            ("512M", Some(512)),
            ("4G", Some(4096)),
            ("0", None),
            ("4T", None),
            ("", None),
        ] {
            assert_eq!(parse_size_mib(text).ok(), expected, "{text}");
        }
    }
}
