//! System call filters, as instructions of the kernel's (seccomp(2)).

use std::io;

const LOAD_ABSOLUTE: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;
/// Set in the numbers of x32 system calls.
const X32_BIT: u32 = 0x4000_0000;

/// All threads get the filter.
pub const FLAG_TSYNC: u32 = 1 << 0;
/// What the filter refuses is logged.
pub const FLAG_LOG: u32 = 1 << 1;
/// Without the protection against speculative store bypass that a filter otherwise brings.
pub const FLAG_SPEC_ALLOW: u32 = 1 << 2;
/// Only fatal signals interrupt a call whose listener has taken it.
pub const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// One instruction: `struct sock_filter` of the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    value: u32,
}

impl Instruction {
    const fn new(code: u16, value: u32, jump_true: u8, jump_false: u8) -> Self {
        Self {
            code,
            jump_true,
            jump_false,
            value,
        }
    }

    /// As it is in memory, and as libseccomp exports it.
    pub fn from_bytes(bytes: &[u8; 8]) -> Self {
        let [a, b, jump_true, jump_false, value @ ..] = *bytes;
        Self::new(
            u16::from_ne_bytes([a, b]),
            u32::from_ne_bytes(value),
            jump_true,
            jump_false,
        )
    }

    /// The reverse of [`Instruction::from_bytes`].
    pub fn to_bytes(&self) -> [u8; 8] {
        let [a, b] = self.code.to_ne_bytes();
        let [c, d, e, f] = self.value.to_ne_bytes();
        [a, b, self.jump_true, self.jump_false, c, d, e, f]
    }
}

/// Begins a filter: system calls with a number above `newest` fail with `ENOSYS`, all others go on to what follows.
///
/// libseccomp cannot express it. Numbers from 424 on mean the same on every architecture.
pub const fn answer_enosys_above(newest: u32) -> [Instruction; 4] {
    let newest = if newest < 423 { 423 } else { newest };
    [
        // Offset 0 of struct seccomp_data is the number.
        Instruction::new(LOAD_ABSOLUTE, 0, 0, 0),
        Instruction::new(AND, !X32_BIT, 0, 0),
        Instruction::new(JUMP_IF_GREATER, newest, 0, 1),
        Instruction::new(
            RETURN,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
            0,
            0,
        ),
    ]
}

/// Installs a filter for this thread and what it executes.
///
/// # Errors
/// `EACCES` without `no_new_privs` and without `CAP_SYS_ADMIN`, `EINVAL` when it is no filter.
pub fn install(program: &[Instruction], flags: u32) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        // Only read.
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the program points to as many instructions as it says, which are laid out as the kernel's and live during the call; the
    // kernel copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        // With FLAG_TSYNC, the thread that has other filters.
        1.. => Err(io::ErrorKind::WouldBlock.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_laid_out_as_the_kernels() {
        assert_eq!(size_of::<Instruction>(), size_of::<libc::sock_filter>());
        for instruction in answer_enosys_above(452) {
            let bytes = instruction.to_bytes();
            assert_eq!(Instruction::from_bytes(&bytes), instruction);
        }
        assert_eq!(
            answer_enosys_above(452)[2].to_bytes(),
            [0x25, 0, 0, 1, 0xc4, 1, 0, 0]
        );
        assert_eq!(answer_enosys_above(3)[2], answer_enosys_above(423)[2]);
    }
}
