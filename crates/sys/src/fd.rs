//! Descriptors by number, as exec and `--preserve-fds` hand them over.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Takes ownership of an inherited descriptor and makes it close-on-exec.
///
/// Call it at most once for each number, before anything else in the process may have opened a file there: the
/// start of `main`, or just after a re-exec.
///
/// # Errors
/// `EBADF` when nothing is open at that number.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: only used for the check that the descriptor is open; not kept.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(borrowed, fcntl_getfd(borrowed)? | FdFlags::CLOEXEC)?;
    // SAFETY: open, as just checked; the caller hands over each inherited number once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Lets `fd` survive the next `execve` of this process.
///
/// Only for the moment before a re-exec with no other thread spawning: between this call and the exec every child
/// would inherit it.
///
/// # Errors
/// Those of `fcntl(2)`.
pub fn keep_over_exec(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    Ok(fcntl_setfd(fd, fcntl_getfd(fd)? - FdFlags::CLOEXEC)?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn an_inherited_descriptor_becomes_close_on_exec() {
        let file = File::open("/dev/null").unwrap();
        keep_over_exec(&file).unwrap();
        assert_eq!(fcntl_getfd(&file).unwrap(), FdFlags::empty());
        let taken = take_inherited(file.into_raw_fd()).unwrap();
        assert_eq!(fcntl_getfd(&taken).unwrap(), FdFlags::CLOEXEC);
    }

    #[test]
    fn a_closed_number_is_refused() {
        for number in [-1, 1_000_000] {
            assert_eq!(
                take_inherited(number).unwrap_err().raw_os_error(),
                Some(libc::EBADF)
            );
        }
    }
}
