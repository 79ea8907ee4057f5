//! Namespaces of this process.

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Gives this thread a copy of the machine's mounts (`CLONE_NEWNS` of unshare(2)): what it changes there, others do not see, as
/// far as propagation does not carry it on.
///
/// # Errors
/// The kernel's: no right to, or no memory.
pub fn own_mounts() -> io::Result<()> {
    // SAFETY: the table of descriptors, which is what makes other flags unsafe, stays shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(Into::into)
}
