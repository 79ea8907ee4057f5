//! The machines and what is checked in each.

mod after_boot;
mod clock;
mod compose;
mod containers;
mod iso;
mod reload;
mod ros;
mod shutdown;
mod survival;
mod swarm;
mod system;
mod user_docker;
mod wrong_input;

use anyhow::Result;
use coracle_testkit::VmBuilder;

use crate::check::Suite;

/// Every suite, quickest failures first.
pub const ALL: &[Suite] = &[
    after_boot::SUITE,
    shutdown::SUITE,
    iso::BIOS_CD,
    iso::BIOS_USB,
    iso::UEFI_CD,
    iso::UEFI_USB,
    wrong_input::NO_SYSTEM,
    wrong_input::CORRUPT_SYSTEM,
    wrong_input::STATE_REQUIRED,
    wrong_input::STATE_OPTIONAL,
    wrong_input::BAD_CONFIG,
    wrong_input::NO_IMAGE,
];

/// Set by the user data of the machines that check it.
const HOSTNAME: &str = "under-test";

/// An empty, formatted state disk.
fn fresh_state_disk(builder: VmBuilder) -> Result<VmBuilder> {
    match std::fs::remove_file(builder.state_dir()?.file("state.img")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(builder.own_state_disk(2048)?)
}
