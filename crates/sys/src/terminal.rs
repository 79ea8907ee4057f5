//! Pseudo terminals, as far as rustix does not know them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The number of the slave that belongs to a master (`TIOCGPTN`, ioctl_tty(2)).
///
/// # Errors
/// `ENOTTY` for what is no master.
pub fn number_of(master: impl AsFd) -> io::Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the descriptor is borrowed for the call, which writes one unsigned int.
    let result =
        unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTN, &raw mut number) };
    match result {
        0 => Ok(number),
        _ => Err(io::Error::last_os_error()),
    }
}
