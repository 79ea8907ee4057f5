//! PID 1, until and around System Docker: from the kernel's first instruction in user space to the services, and back down.
//!
//! * [`init`] runs in the initrd: kernel file systems, drivers, the system image; then it executes the binary in that image.
//! * [`system`] is that binary: state, user data, configuration, System Docker, services, and at the end the shutdown.
//! * [`phase_table`] prints what happens in which order, and what failing means.

mod consoles;
mod control_groups;
mod devices;
mod disks;
mod early;
mod error;
mod host_files;
mod kernel_parameters;
mod layout;
mod logging;
mod modules;
mod mounts;
mod phase;
mod power;
mod recovery;
mod registries;
mod reload;
mod shutdown;
mod state;
mod switch_root;
mod system;
mod system_docker;
mod system_image;
mod tools;
mod uevent;
mod urgency;
mod user_data;

pub use early::init;
pub use error::Error;
pub use modules::modprobe;
pub use power::PowerAction;
pub use recovery::console_shell;
pub use shutdown::finish;
pub use system::{HANDOVER, system};

/// glibc's `SIGRTMIN`: it keeps the kernel's first two for itself.
const REALTIME_MINIMUM: i32 = 34;

/// All phases of the boot, in order, as a table for people: number, name, what failing means, what it does.
#[must_use]
pub fn phase_table() -> String {
    phase::table(1, early::PHASES) + &phase::table(early::PHASES.len() + 1, system::PHASES)
}

/// How many phases there are, for `[i/n]`.
fn phase_count() -> usize {
    early::PHASES.len() + system::PHASES.len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_boot_as_a_table() {
        let want = " 1  mounts             recovery  mount the kernel's file systems
 2  drivers            recovery  load drivers for disks, in the background
 3  recovery           goes on   open a shell if rancher.recovery asks for one
 4  system-image       recovery  find system.erofs and mount it on /usr of the new root
 5  switch-root        recovery  free the initrd and go on with the binary in system.erofs
 6  devices            goes on   load all other drivers, in the background
 7  state              recovery  mount the state partition, or memory
 8  control-groups     recovery  hand control groups down
 9  system-docker      recovery  become System Docker
10  user-data          goes on   read a config-2 or cidata volume
11  configuration      goes on   merge all configuration
12  host               goes on   set the host name and write /etc
13  kernel-parameters  goes on   set kernel parameters and limits, load configured modules
14  services           goes on   start the services, in the background
";
        assert_eq!(super::phase_table(), want);
    }
}
