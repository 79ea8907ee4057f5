//! Ends of the machine, and what is kept over them. With 512 MB, the size that is promised to work.

use std::time::Duration;

use anyhow::{Result, ensure};
use coracle_testkit::VmBuilder;

use crate::check::{Check, Suite};
use crate::guest::Guest;

use super::reload;

pub const SUITE: Suite = Suite {
    name: "shutdown",
    machine: |builder| Ok(blank_state_disk(builder)?.memory_mib(512)),
    ready: Guest::ready,
    checks: &[
        Check {
            name: "blank_state_disk_is_formatted",
            run: blank_state_disk_is_formatted,
        },
        Check {
            name: "a_new_version_takes_over_in_place",
            run: reload::a_new_version_takes_over_in_place,
        },
        Check {
            name: "reboot_keeps_what_the_state_disk_has",
            run: reboot_keeps_what_the_state_disk_has,
        },
        Check {
            name: "poweroff_leaves_a_clean_file_system",
            run: poweroff_leaves_a_clean_file_system,
        },
        Check {
            name: "a_second_halt_does_not_wait_and_leaves_a_clean_file_system",
            run: a_second_halt_does_not_wait_and_leaves_a_clean_file_system,
        },
    ],
};

/// Inventory A9-013, I1-004.
fn blank_state_disk(builder: VmBuilder) -> Result<VmBuilder> {
    let dir = builder.state_dir()?;
    std::fs::create_dir_all(dir.path())?;
    let disk = dir.file("state.img");
    coracle_testkit::create_blank(&disk, 2048)?;
    Ok(builder.state_disk(disk).append(
        "rancher.state.dev=LABEL=RANCHER_STATE rancher.state.autoformat=[/dev/sda,/dev/vda]",
    ))
}

fn blank_state_disk_is_formatted(guest: &mut Guest) -> Result<()> {
    guest.expect("sudo blkid -o value -s LABEL /dev/vda", "RANCHER_STATE")?;
    guest.expect(
        "stat -f -c %T /var/lib/docker /home /opt | sort -u",
        "ext2/ext3",
    )
}

/// Stop limit of the services (10 s each, all at once), plus the 10 s that are promised, times two for the emulator.
pub const END_LIMIT: Duration = Duration::from_secs(40);

/// Asks for an end of the machine. The connection may break before or after the answer.
pub fn ask(guest: &Guest, command: &str) -> Result<()> {
    let vm = guest.vm()?;
    vm.qmp().forget_events();
    let _ = vm.exec_within(command, END_LIMIT);
    Ok(())
}

fn with_user_containers(guest: &Guest) -> Result<()> {
    guest.ensure_busybox()?;
    // One that ends on SIGTERM, one that does not and has to be killed.
    guest.run("docker rm -f polite stubborn 2>/dev/null; docker run -d --restart=always --name polite busybox:test sh -c 'trap exit TERM; while :; do sleep 1; done'")?;
    guest
        .run("docker run -d --name stubborn busybox:test sleep 100000")
        .map(drop)
}

fn reboot_keeps_what_the_state_disk_has(guest: &mut Guest) -> Result<()> {
    with_user_containers(guest)?;
    guest.run("echo home > /home/rancher/kept; echo opt | sudo tee /opt/kept")?;
    guest.run("docker volume create kept && docker run --rm -v kept:/v busybox:test sh -c 'echo volume > /v/kept'")?;
    ask(guest, "sudo reboot")?;
    guest.vm()?.wait_for_reset(END_LIMIT)?;
    guest.ready()?;
    guest.expect("cat /home/rancher/kept /opt/kept", "home\nopt")?;
    guest.expect(
        "docker run --rm -v kept:/v busybox:test cat /v/kept",
        "volume",
    )?;
    guest.wait_until("docker ps --format \"{{.Names}}\" | grep -qx polite", 60)?;
    guest.expect(
        "docker ps -a --format '{{.Names}} {{.State}}' --filter name=stubborn",
        "stubborn exited",
    )
}

fn poweroff_leaves_a_clean_file_system(guest: &mut Guest) -> Result<()> {
    guest.ensure_on()?;
    with_user_containers(guest)?;
    ask(guest, "sudo poweroff")?;
    guest.vm()?.wait_for_power_off(END_LIMIT)?;
    ensure_unmounted(guest)
}

fn ensure_unmounted(guest: &Guest) -> Result<()> {
    let disk = guest.vm()?.dir().file("state.img");
    let output = guest
        .project
        .toolbox()?
        .command("dumpe2fs")?
        .arg("-h")
        .arg(disk)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("Filesystem state:") || line.contains("needs_recovery"))
        .collect();
    let clean = lines.len() == 1 && lines[0].ends_with(" clean");
    ensure!(clean, "the state disk was not unmounted: {lines:?}");
    Ok(())
}

/// The second one comes while the container that does not end by itself is given its time.
fn a_second_halt_does_not_wait_and_leaves_a_clean_file_system(guest: &mut Guest) -> Result<()> {
    guest.boot_again()?;
    with_user_containers(guest)?;
    ask(guest, "sudo halt; sleep 4; sudo halt")?;
    let serial = guest.vm()?.serial();
    serial.wait_for("a second signal", END_LIMIT)?;
    serial.wait_for("System halted", END_LIMIT)?;
    ensure_unmounted(guest)
}
