//! The live ISO under both firmwares, as CD and as USB disk; each machine ends in another way.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use coracle_testkit::{BOOT_LIMIT, Boot, Firmware, IsoAs, Project, VmBuilder};

use crate::check::{Check, Suite};
use crate::guest::Guest;

use super::shutdown::{END_LIMIT, ask};

/// What QEMU's DHCP server gives to its first client.
const GUEST_ADDRESS: &str = "10.0.2.15";

const BOOTS: Check = Check {
    name: "boots_to_a_shell_and_shows_it",
    run: boots_to_a_shell_and_shows_it,
};
const RUNS: Check = Check {
    name: "docker_runs",
    run: docker_runs,
};

const fn suite(
    name: &'static str,
    machine: fn(VmBuilder) -> Result<VmBuilder>,
    checks: &'static [Check],
) -> Suite {
    Suite {
        name,
        machine,
        ready: Guest::ready,
        checks,
    }
}

pub const BIOS_CD: Suite = suite(
    "iso-bios-cd",
    |builder| machine(builder, Firmware::Bios, IsoAs::Cd),
    &[
        BOOTS,
        RUNS,
        Check {
            name: "shutdown_h_now_powers_off",
            run: shutdown_h_now_powers_off,
        },
    ],
);
pub const BIOS_USB: Suite = suite(
    "iso-bios-usb",
    |builder| machine(builder, Firmware::Bios, IsoAs::Usb),
    &[BOOTS],
);
pub const UEFI_CD: Suite = suite(
    "iso-uefi-cd",
    |builder| machine(builder, Firmware::Uefi, IsoAs::Cd),
    &[
        BOOTS,
        Check {
            name: "power_button_powers_off",
            run: power_button_powers_off,
        },
    ],
);
pub const UEFI_USB: Suite = suite(
    "iso-uefi-usb",
    |builder| machine(builder, Firmware::Uefi, IsoAs::Usb),
    &[BOOTS],
);

fn machine(builder: VmBuilder, firmware: Firmware, attached: IsoAs) -> Result<VmBuilder> {
    let iso = Project::here().dist("coracle.iso")?;
    Ok(builder.firmware(firmware).boot(Boot::Iso(iso, attached)))
}

fn boots_to_a_shell_and_shows_it(guest: &mut Guest) -> Result<()> {
    guest.vm()?.serial().wait_for("rancher@", BOOT_LIMIT)?;
    // The text of the first screen (vcs(4)); the address comes when the network has one.
    for shown in [env!("CARGO_PKG_VERSION"), GUEST_ADDRESS, "rancher@"] {
        guest
            .wait_until(&format!("sudo grep -aqF {shown} /dev/vcs1"), 30)
            .with_context(|| format!("the screen: {:?}", screen(guest)))?;
    }
    let path = guest.vm()?.dir().file("screen.png");
    guest.vm()?.screenshot(&path)?;
    ensure_picture(&path)
}

/// The lines of the first screen, to tell what is there instead.
fn screen(guest: &Guest) -> Result<Vec<String>> {
    let text =
        guest.run("sudo cat /dev/vcs1 | fold -w $(sudo stty -F /dev/tty1 size | cut -d' ' -f2)")?;
    Ok(text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect())
}

/// The text on it is for people; here it has to be a picture that is not all of one colour.
fn ensure_picture(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("no {}", path.display()))?;
    ensure!(
        bytes.starts_with(b"\x89PNG"),
        "{} is no PNG file",
        path.display()
    );
    // A blank screen of this size compresses to under 2 KB.
    ensure!(
        bytes.len() > 3000,
        "{} seems to be blank ({} bytes)",
        path.display(),
        bytes.len()
    );
    Ok(())
}

fn docker_runs(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    guest.expect("docker run --rm busybox:test echo hello", "hello")
}

fn shutdown_h_now_powers_off(guest: &mut Guest) -> Result<()> {
    ask(guest, "sudo shutdown -h now")?;
    guest.vm()?.wait_for_power_off(END_LIMIT)?;
    Ok(())
}

/// acpid hears of one press twice, which is not a second signal: services are stopped in order.
fn power_button_powers_off(guest: &mut Guest) -> Result<()> {
    guest.vm()?.qmp().forget_events();
    guest.vm()?.press_power_button()?;
    guest.vm()?.wait_for_power_off(END_LIMIT)?;
    let text = guest.vm()?.serial().text();
    ensure!(
        text.contains("stopping services") && !text.contains("second signal"),
        "services were not stopped in order:\n{text}"
    );
    Ok(())
}
