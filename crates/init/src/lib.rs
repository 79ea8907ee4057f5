//! PID 1, until and around System Docker: from the kernel's first instruction in user space to the services, and back down.
//!
//! * [`init`] runs in the initrd: kernel file systems, drivers, the system image; then it executes the binary in that image.
//! * [`system`] is that binary: state, user data, configuration, System Docker, services, and at the end the shutdown.
//! * [`phase_table`] prints what happens in which order, and what failing means.

mod consoles;
mod devices;
mod early;
mod error;
mod modules;
mod mounts;
mod phase;
mod power;
mod recovery;
mod switch_root;
mod system_image;
mod uevent;

pub use early::init;
pub use error::Error;
pub use recovery::console_shell;

/// glibc's `SIGRTMIN`: it keeps the kernel's first two for itself.
const REALTIME_MINIMUM: i32 = 34;

/// All phases of the boot, in order, as a table for people.
#[must_use]
pub fn phase_table() -> String {
    phase::table(1, early::PHASES)
}

/// How many phases there are, for `[i/n]`.
fn phase_count() -> usize {
    early::PHASES.len()
}
