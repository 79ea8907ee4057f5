//! Sending any signal. rustix sends the named ones only; real-time signals are stop signals of containers and orders to PID 1.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use rustix::process::Pid;

/// `pidfd_send_signal(2)`: the process behind `pidfd`, never another one that got its number.
///
/// # Errors
/// `ESRCH` when the process has ended, `EPERM`, `EINVAL` for a number that is no signal.
pub fn send(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    let no_info: *const libc::siginfo_t = ptr::null();
    // SAFETY: the descriptor is borrowed for the call; no memory is handed over.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, no_info, 0_u32) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `kill(2)` for process 1, whose number is never reused.
///
/// # Errors
/// `EPERM`, `EINVAL` for a number that is no signal.
pub fn send_to_init(signal: i32) -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    match unsafe { libc::kill(1, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `kill(2)`: for a child that has not been waited for, whose number therefore is still its own.
///
/// # Errors
/// `ESRCH` when there is no such process, `EPERM`, `EINVAL` for a number that is no signal.
pub fn send_to(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    match unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Blocks every signal of this thread, for [`wait_any`].
///
/// # Errors
/// That of `pthread_sigmask(3)`.
pub fn block_all() -> io::Result<()> {
    set_mask(true)
}

/// Lets every signal through to this thread again, those that were held back first.
///
/// # Errors
/// That of `pthread_sigmask(3)`.
pub fn unblock_all() -> io::Result<()> {
    set_mask(false)
}

/// Blocks every signal of this thread, or none.
fn set_mask(all: bool) -> io::Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised before its use, and lives for the calls.
    let result = unsafe {
        match all {
            true => libc::sigfillset(set.as_mut_ptr()),
            false => libc::sigemptyset(set.as_mut_ptr()),
        };
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut())
    };
    match result {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Takes the next signal of those that [`block_all`] holds back, waiting for it; gives its number.
///
/// # Errors
/// That of `sigwaitinfo(2)`, but for interruptions.
pub fn wait_any() -> io::Result<i32> {
    let mut all = MaybeUninit::uninit();
    loop {
        // SAFETY: the set is initialised before its use, and lives for the calls; no information is asked for.
        let number = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::sigwaitinfo(all.as_ptr(), ptr::null_mut())
        };
        if number > 0 {
            return Ok(number);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use rustix::process::{PidfdFlags, pidfd_open};

    #[test]
    fn real_time_signals_reach_the_process_behind_the_descriptor() {
        for signal in [15, 37, 64] {
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
            send(&pidfd, signal).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(signal));
            let error = send(&pidfd, signal).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        }
    }
}
