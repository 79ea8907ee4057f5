//! Wrong input: one clear message, and a shell.

use std::fs;

use anyhow::{Result, ensure};
use coracle_testkit::{BOOT_LIMIT, Boot, Disk, Medium, Project, Seed, VmBuilder};

use crate::check::{Check, Suite};
use crate::guest::Guest;

use super::HOSTNAME;

const NOTHING: fn(&mut Guest) -> Result<()> = |_| Ok(());

const COMMAND_LINE: &str = "console=tty1 console=ttyS0 rancher.autologin=ttyS0 panic=10 quiet";

pub const NO_SYSTEM: Suite = Suite {
    name: "no-system",
    machine: |builder| with_system(builder, None),
    ready: NOTHING,
    checks: &[Check {
        name: "recovery_shell",
        run: |guest| recovery_shell(guest, "system.erofs"),
    }],
};

pub const CORRUPT_SYSTEM: Suite = Suite {
    name: "corrupt-system",
    machine: |builder| {
        let dir = builder.state_dir()?;
        fs::create_dir_all(dir.path())?;
        let broken = dir.file("broken.erofs");
        let mut bytes = fs::read(Project::here().dist("system.erofs")?)?;
        // The superblock is sound; what it leads to is not.
        bytes[4096..].fill(0xaa);
        fs::write(&broken, bytes)?;
        with_system(builder, Some(Disk::raw(broken).read_only()))
    },
    ready: NOTHING,
    checks: &[Check {
        name: "recovery_shell",
        run: |guest| recovery_shell(guest, "system.erofs"),
    }],
};

pub const STATE_REQUIRED: Suite = Suite {
    name: "state-required",
    machine: |builder| {
        Ok(builder.append("rancher.state.dev=LABEL=NONEXISTENT rancher.state.required=true"))
    },
    ready: NOTHING,
    checks: &[Check {
        name: "recovery_shell",
        run: |guest| recovery_shell(guest, "LABEL=NONEXISTENT"),
    }],
};

/// Inventory I1-001 and I1-002: the machine runs in RAM.
pub const STATE_OPTIONAL: Suite = Suite {
    name: "state-optional",
    machine: |builder| {
        Ok(builder
            .append(
                "rancher.state.dev=LABEL=NONEXISTENT rancher.no_sharedroot cc.hostname=from-kernel",
            )
            .seed_medium(Medium::Vfat))
    },
    ready: Guest::ready,
    checks: &[
        Check {
            name: "runs_in_ram_and_says_so",
            run: runs_in_ram_and_says_so,
        },
        Check {
            name: "hostname_comes_from_the_kernel_command_line",
            run: |guest| guest.expect("hostname", "from-kernel"),
        },
        Check {
            name: "services_run_without_a_shared_root",
            run: services_run_without_a_shared_root,
        },
    ],
};

pub const BAD_CONFIG: Suite = Suite {
    name: "bad-config",
    machine: |builder| Ok(builder.seed(Seed::cidata("#cloud-config\nhostname: [unclosed\n"))),
    ready: NOTHING,
    checks: &[Check {
        name: "says_which_file_and_line_and_boots",
        run: says_which_file_and_line_and_boots,
    }],
};

pub const NO_IMAGE: Suite = Suite {
    name: "no-image",
    machine: |builder| {
        let key = builder.public_key()?;
        let config = format!(
            "\
#cloud-config
hostname: {HOSTNAME}
ssh_authorized_keys:
  - {key}
rancher:
  services:
    ghost:
      image: coracle/os-ghost:none
      labels:
        io.rancher.os.scope: system
"
        );
        Ok(builder.seed(Seed::cidata(config)))
    },
    ready: Guest::ready,
    checks: &[Check {
        name: "the_others_run_and_the_log_names_it",
        run: the_others_run_and_the_log_names_it,
    }],
};

fn with_system(builder: VmBuilder, system: Option<Disk>) -> Result<VmBuilder> {
    let project = Project::here();
    Ok(builder.boot(Boot::Kernel {
        kernel: project.dist("vmlinuz")?,
        initrd: Some(project.dist("initrd")?),
        system,
        command_line: COMMAND_LINE.into(),
    }))
}

/// A shell of root on the serial console, below one message that names the cause.
fn recovery_shell(guest: &mut Guest, cause: &str) -> Result<()> {
    let serial = guest.vm()?.serial();
    let before = serial.wait_for("The boot stopped at", BOOT_LIMIT)?.before;
    serial.wait_for(cause, BOOT_LIMIT)?;
    serial.wait_for("# ", BOOT_LIMIT)?;
    let output = serial.run("echo $((40+2))", BOOT_LIMIT)?;
    ensure!(
        output.stdout == "42",
        "the shell answered {:?}",
        output.stdout
    );
    ensure!(!before.contains("panicked at"), "PID 1 panicked: {before}");
    Ok(())
}

fn runs_in_ram_and_says_so(guest: &mut Guest) -> Result<()> {
    let text = guest.vm()?.serial().text();
    ensure!(
        text.contains("LABEL=NONEXISTENT"),
        "nothing on the console names the state device:\n{text}"
    );
    let kind = guest.run("stat -f -c %T /var/lib/docker")?;
    ensure!(kind == "tmpfs", "/var/lib/docker is on {kind}");
    Ok(())
}

/// `rancher.no_sharedroot` (inventory A9-020).
fn services_run_without_a_shared_root(guest: &mut Guest) -> Result<()> {
    super::system::every_service_is_a_container(guest)?;
    guest.run("sudo mount -t tmpfs apart /mnt")?;
    guest.expect("sudo grep -c apart /proc/1/mountinfo || true", "0")
}

fn says_which_file_and_line_and_boots(guest: &mut Guest) -> Result<()> {
    let serial = guest.vm()?.serial();
    // No key came with that volume, so this is seen on the console that logs in by itself.
    serial.wait_for("rancher@", BOOT_LIMIT)?;
    let text = serial.text();
    ensure!(
        text.lines().any(|line| line.contains("user-data:2: ")),
        "no message names the file and the line:\n{text}"
    );
    let output = serial.run("sudo system-docker ps --format '{{.Names}}'", BOOT_LIMIT)?;
    ensure!(
        output.stdout.contains("console"),
        "system-docker ps printed {:?}",
        output.stdout
    );
    Ok(())
}

fn the_others_run_and_the_log_names_it(guest: &mut Guest) -> Result<()> {
    super::system::every_service_is_a_container(guest)?;
    let table = guest.run("sudo ros boot")?;
    let line = table.lines().find(|line| line.contains("ghost"));
    ensure!(
        line.is_some(),
        "`ros boot` does not name the service without an image:\n{table}"
    );
    let text = guest.vm()?.serial().text();
    ensure!(
        text.contains("coracle/os-ghost:none"),
        "nothing on the console names the missing image:\n{text}"
    );
    Ok(())
}
