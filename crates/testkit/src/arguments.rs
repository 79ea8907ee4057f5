//! A machine as QEMU's command line.

use std::path::{Path, PathBuf};

use crate::{Accelerator, Boot, Disk, Forward, IsoAs};

/// A machine with every choice made and every path absolute.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub name: String,
    pub memory_mib: u32,
    pub cpus: u32,
    pub accelerator: Accelerator,
    /// OVMF's code and variables; `None` is SeaBIOS.
    pub firmware: Option<(PathBuf, PathBuf)>,
    pub boot: Boot,
    pub disks: Vec<Disk>,
    pub forwards: Vec<Forward>,
    pub dir: PathBuf,
    pub second_serial: bool,
}

/// Descriptors of listening sockets that QEMU inherits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inherited {
    pub qmp: i32,
    pub serial: i32,
    pub second_serial: Option<i32>,
}

impl Machine {
    /// QEMU's arguments. It starts paused, so that nothing is missed before the callers have connected.
    pub(crate) fn arguments(&self, inherited: Inherited) -> Vec<String> {
        let mut arguments = Arguments(Vec::new());
        arguments.add(["-name", &self.name]);
        arguments.add(["-nodefaults", "-no-user-config", "-S"]);
        arguments.add(["-display", "none"]);
        arguments.add(["-M", "q35"]);
        arguments.add(self.accelerator.arguments());
        arguments.add(["-smp", &self.cpus.to_string()]);
        arguments.add(["-m", &self.memory_mib.to_string()]);
        arguments.add(["-pidfile", &escape(&self.dir.join("pid"))]);
        self.consoles(inherited, &mut arguments);
        self.network(&mut arguments);
        arguments.add(["-device", "VGA"]);
        arguments.add(["-device", "virtio-rng-pci"]);
        if let Some((code, variables)) = &self.firmware {
            let flash = |unit: u32, path: &Path| {
                format!("if=pflash,unit={unit},format=raw,file={}", escape(path))
            };
            arguments.add(["-drive", &(flash(0, code) + ",readonly=on")]);
            arguments.add(["-drive", &flash(1, variables)]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            arguments.add(["-drive", &drive(&format!("disk{number}"), disk)]);
            let boot_index = if self.boot == Boot::Disk && number == 0 {
                ",bootindex=0"
            } else {
                ""
            };
            arguments.add([
                "-device",
                &format!("virtio-blk-pci,drive=disk{number}{boot_index}"),
            ]);
        }
        self.boot(&mut arguments);
        arguments.0
    }

    fn consoles(&self, inherited: Inherited, arguments: &mut Arguments) {
        let log = escape(&self.dir.join("serial.log"));
        let socket = |id: &str, fd: i32| format!("socket,id={id},fd={fd},server=on,wait=off");
        arguments.add(["-chardev", &socket("qmp", inherited.qmp)]);
        arguments.add(["-mon", "chardev=qmp,mode=control"]);
        arguments.add([
            "-chardev",
            &format!("{},logfile={log}", socket("serial", inherited.serial)),
        ]);
        arguments.add(["-serial", "chardev:serial"]);
        if let Some(fd) = inherited.second_serial {
            arguments.add(["-chardev", &socket("serial2", fd)]);
            arguments.add(["-serial", "chardev:serial2"]);
        }
    }

    fn network(&self, arguments: &mut Arguments) {
        let mut network = "user,id=net0".to_owned();
        for Forward { host, guest } in &self.forwards {
            network += &format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
        }
        arguments.add(["-netdev", &network]);
        arguments.add(["-device", "virtio-net-pci,netdev=net0"]);
    }

    fn boot(&self, arguments: &mut Arguments) {
        match &self.boot {
            Boot::Kernel {
                kernel,
                initrd,
                command_line,
                ..
            } => {
                arguments.add(["-kernel", &kernel.to_string_lossy()]);
                if let Some(initrd) = initrd {
                    arguments.add(["-initrd", &initrd.to_string_lossy()]);
                }
                arguments.add(["-append", command_line]);
            }
            Boot::Iso(iso, attached) => {
                let disk = Disk::raw(iso).read_only();
                arguments.add(["-drive", &drive("iso", &disk)]);
                match attached {
                    IsoAs::Cd => {
                        arguments.add(["-device", "ide-cd,drive=iso,bus=ide.0,bootindex=0"])
                    }
                    IsoAs::Usb => {
                        arguments.add(["-device", "qemu-xhci"]);
                        arguments.add(["-device", "usb-storage,drive=iso,bootindex=0"]);
                    }
                }
            }
            Boot::Disk => {}
        }
    }
}

struct Arguments(Vec<String>);

impl Arguments {
    fn add<const N: usize>(&mut self, arguments: [&str; N]) {
        self.0.extend(arguments.map(str::to_owned));
    }
}

fn drive(id: &str, disk: &Disk) -> String {
    let mut drive = format!(
        "if=none,id={id},format={},file={}",
        disk.format,
        escape(&disk.path)
    );
    if disk.read_only {
        drive += ",readonly=on";
    }
    if disk.snapshot {
        drive += ",snapshot=on";
    }
    drive
}

/// QEMU's option syntax: a comma in a value is written twice.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INHERITED: Inherited = Inherited {
        qmp: 3,
        serial: 4,
        second_serial: None,
    };

    fn machine(boot: Boot) -> Machine {
        Machine {
            name: "t".into(),
            memory_mib: 512,
            cpus: 2,
            accelerator: Accelerator::Tcg,
            firmware: None,
            boot,
            disks: Vec::new(),
            forwards: vec![Forward::to(22)],
            dir: "/d".into(),
            second_serial: false,
        }
    }

    fn line(machine: &Machine) -> String {
        machine.arguments(INHERITED).join(" ")
    }

    const COMMON: &str = "-name t -nodefaults -no-user-config -S -display none -M q35 -accel tcg,thread=multi -cpu max,-cx16,-la57,-erms,-fsrm \
        -smp 2 -m 512 -pidfile /d/pid -chardev socket,id=qmp,fd=3,server=on,wait=off -mon chardev=qmp,mode=control \
        -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/d/serial.log -serial chardev:serial \
        -netdev user,id=net0,hostfwd=tcp:127.0.0.1:0-:22 -device virtio-net-pci,netdev=net0 -device VGA -device virtio-rng-pci";

    #[test]
    fn kernel_boot_with_disks() {
        let mut machine = machine(Boot::Kernel {
            kernel: "/k".into(),
            initrd: Some("/i".into()),
            system: None,
            command_line: "console=ttyS0 quiet".into(),
        });
        machine.disks = vec![Disk::raw("/state.img"), Disk::raw("/a,b.erofs").read_only()];
        let expected = format!(
            "{COMMON} -drive if=none,id=disk0,format=raw,file=/state.img -device virtio-blk-pci,drive=disk0 \
             -drive if=none,id=disk1,format=raw,file=/a,,b.erofs,readonly=on -device virtio-blk-pci,drive=disk1 \
             -kernel /k -initrd /i -append console=ttyS0 quiet"
        );
        assert_eq!(line(&machine), expected);
    }

    #[test]
    fn iso_boot_with_ovmf() {
        let mut cd = machine(Boot::Iso("/c.iso".into(), IsoAs::Cd));
        cd.firmware = Some(("/code".into(), "/vars".into()));
        let expected = format!(
            "{COMMON} -drive if=pflash,unit=0,format=raw,file=/code,readonly=on -drive if=pflash,unit=1,format=raw,file=/vars \
             -drive if=none,id=iso,format=raw,file=/c.iso,readonly=on -device ide-cd,drive=iso,bus=ide.0,bootindex=0"
        );
        assert_eq!(line(&cd), expected);
        let usb = machine(Boot::Iso("/c.iso".into(), IsoAs::Usb));
        let expected = format!(
            "{COMMON} -drive if=none,id=iso,format=raw,file=/c.iso,readonly=on -device qemu-xhci \
             -device usb-storage,drive=iso,bootindex=0"
        );
        assert_eq!(line(&usb), expected);
    }
}
