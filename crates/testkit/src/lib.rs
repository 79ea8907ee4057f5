//! Virtual machines for tests, benchmarks and people.
//!
//! [`Vm::builder`] describes a machine, [`VmBuilder::start`] powers it on, and the [`Vm`] that comes back is driven from outside
//! only: its serial console ([`Serial`]), its screen and power button ([`Qmp`]), and commands over SSH ([`Ssh`]). Every wait has a
//! deadline and ends at once when the guest's kernel panics or QEMU ends. Dropping a [`Vm`] ends its QEMU.
//!
//! QEMU and the other tools come from [`coracle_toolbox`]; of the host, only the `ssh` client and `setpriv` are used.
//!
//! ```no_run
//! # fn main() -> coracle_testkit::Result<()> {
//! use coracle_testkit::{Project, Vm};
//! let vm = Vm::builder(Project::here()).memory_mib(512).start()?;
//! vm.wait_for_ssh(coracle_testkit::BOOT_LIMIT)?;
//! assert_eq!(vm.run("readlink /proc/1/exe")?.stdout.trim(), "/usr/bin/coracle");
//! # Ok(()) }
//! ```

mod accelerator;
mod arguments;
mod attached;
mod builder;
mod busybox;
mod child;
mod console_text;
mod disk;
mod error;
mod kernel_failure;
mod ports;
mod project;
mod qemu;
mod qmp;
mod seed;
mod serial;
mod socket;
mod ssh;
mod state_dir;
pub mod transcript;
mod vm;

pub use accelerator::Accelerator;
pub use builder::{Boot, Disk, Firmware, IsoAs, VmBuilder};
pub use busybox::busybox_archive;
pub use child::{Output, run_with_deadline};
pub use disk::{create_blank, create_ext4};
pub use error::Error;
pub use kernel_failure::KernelFailure;
pub use ports::Forward;
pub use project::Project;
pub use qemu::Paused;
pub use qmp::Qmp;
pub use seed::{Medium, Seed};
pub use serial::{Found, Serial};
pub use ssh::{GUEST_USER, Ssh};
pub use state_dir::StateDir;
pub use vm::{BOOT_LIMIT, Vm, quote, retry_after_emulator_fault};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
