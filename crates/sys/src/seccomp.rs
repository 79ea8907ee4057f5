//! One system call filter that libseccomp cannot express.

use std::io;

const LOAD_ABSOLUTE: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;
/// Set in the numbers of x32 system calls.
const X32_BIT: u32 = 0x4000_0000;

/// Makes system calls with a number above `newest` fail with `ENOSYS`, in this thread and what it executes; all others
/// are left to the filters already installed.
///
/// Of several filters that answer with an error number the one installed last is heard (seccomp(2)), so call this after
/// the others. Numbers from 424 on mean the same on every architecture.
///
/// # Errors
/// `EACCES` without `no_new_privs` and without `CAP_SYS_ADMIN`.
pub fn answer_enosys_above(newest: u32) -> io::Result<()> {
    let statement = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        // Offset 0 of struct seccomp_data is the number.
        statement(LOAD_ABSOLUTE, 0, 0, 0),
        statement(AND, !X32_BIT, 0, 0),
        statement(JUMP_IF_GREATER, newest.max(423), 0, 1),
        statement(
            RETURN,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
            0,
            0,
        ),
        statement(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: 5,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program points to five instructions that live during the call; the kernel copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
