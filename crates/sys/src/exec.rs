//! Replacing this process's program.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

/// `execve(2)` with exactly these arguments and environment entries, in this order.
///
/// Before it, every signal gets its default action, because ignored signals stay ignored over exec (Rust's runtime
/// ignores `SIGPIPE`, glibc's `posix_spawn` 32 and 33), and the signal mask is emptied. Returns only on failure.
pub fn replace<A: AsRef<OsStr>, E: AsRef<OsStr>>(
    program: &Path,
    args: &[A],
    env: &[E],
) -> io::Error {
    let strings = |list: &mut dyn Iterator<Item = &OsStr>| {
        list.map(|text| CString::new(text.as_bytes()))
            .collect::<Result<Vec<_>, _>>()
    };
    let prepared = CString::new(program.as_os_str().as_bytes()).and_then(|program| {
        let args = strings(&mut args.iter().map(AsRef::as_ref))?;
        let env = strings(&mut env.iter().map(AsRef::as_ref))?;
        Ok((program, args, env))
    });
    let (program, args, env) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return error.into(),
    };
    let args: Vec<_> = args
        .iter()
        .map(|s| s.as_ptr())
        .chain([ptr::null()])
        .collect();
    let env: Vec<_> = env
        .iter()
        .map(|s| s.as_ptr())
        .chain([ptr::null()])
        .collect();
    // The kernel's struct sigaction, all zero: SIG_DFL. The C library's call refuses the signals it uses itself.
    let default = [0_u64; 4];
    let mut mask = std::mem::MaybeUninit::uninit();
    // SAFETY: `default` has the size of the structure that the kernel reads; the signal set is initialised before its
    // use; the three pointers lead to NUL-terminated data that lives until the process is replaced.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0, 8);
        }
        libc::sigemptyset(mask.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
        libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr());
    }
    io::Error::last_os_error()
}
