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
    let prepared = match Prepared::new(program, args, env) {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    // The kernel's struct sigaction, all zero: SIG_DFL. The C library's call refuses the signals it uses itself.
    let default = [0_u64; 4];
    let mut mask = std::mem::MaybeUninit::uninit();
    // SAFETY: `default` has the size of the structure that the kernel reads; the signal set is initialised before its use.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0, 8);
        }
        libc::sigemptyset(mask.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
    }
    prepared.execute()
}

/// `execve(2)` for a program that is to take this one's place unnoticed: every signal is held back, so that one that comes
/// before the program has its handlers waits for [`crate::signal::unblock_all`]. On failure nothing has changed but that.
pub fn hand_over<A: AsRef<OsStr>, E: AsRef<OsStr>>(
    program: &Path,
    args: &[A],
    env: &[E],
) -> io::Error {
    match Prepared::new(program, args, env)
        .and_then(|prepared| crate::signal::block_all().map(|()| prepared))
    {
        Ok(prepared) => prepared.execute(),
        Err(error) => error,
    }
}

/// What `execve(2)` takes.
struct Prepared {
    program: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Prepared {
    fn new<A: AsRef<OsStr>, E: AsRef<OsStr>>(
        program: &Path,
        args: &[A],
        env: &[E],
    ) -> io::Result<Self> {
        let strings = |list: &mut dyn Iterator<Item = &OsStr>| {
            list.map(|text| CString::new(text.as_bytes()))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            program: CString::new(program.as_os_str().as_bytes())?,
            args: strings(&mut args.iter().map(AsRef::as_ref))?,
            env: strings(&mut env.iter().map(AsRef::as_ref))?,
        })
    }

    fn execute(&self) -> io::Error {
        let pointers = |list: &[CString]| -> Vec<_> {
            let strings = list.iter().map(|string| string.as_ptr());
            strings.chain([ptr::null()]).collect()
        };
        let (args, env) = (pointers(&self.args), pointers(&self.env));
        // SAFETY: the three pointers lead to NUL-terminated data that lives until the process is replaced.
        unsafe { libc::execve(self.program.as_ptr(), args.as_ptr(), env.as_ptr()) };
        io::Error::last_os_error()
    }
}
