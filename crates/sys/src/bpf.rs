//! `bpf(2)`, as far as a device filter of a control group needs it: load a program, attach it, nothing else.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// One eBPF instruction, in the kernel's layout (`struct bpf_insn`, `include/uapi/linux/bpf.h`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Instruction {
    /// Operation code: class, size and mode.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high four.
    pub registers: u8,
    /// Signed offset, in instructions for jumps and in bytes for memory.
    pub offset: i16,
    /// Immediate value.
    pub immediate: i32,
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Several programs may be attached; access needs the consent of all of them, and of those of the parents.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads, up to `prog_ifindex`.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The part of `union bpf_attr` that `BPF_PROG_ATTACH` reads.
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    program_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`; the kernel's verifier checks it.
///
/// # Errors
/// `EPERM` without `CAP_BPF`/`CAP_SYS_ADMIN`, `EINVAL` or `EACCES` when the verifier refuses the program.
pub fn load_device_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let count =
        u32::try_from(instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let mut attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: count,
        instructions: instructions.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
        ..LoadAttributes::default()
    };
    attributes.name[..7].copy_from_slice(b"devices");
    // SAFETY: the attributes point to `instructions` and to a static string, both alive during the call, and the size
    // is that of the structure.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &raw mut attributes) }?;
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to the control group that the directory `cgroup` is.
///
/// # Errors
/// `EINVAL`/`EBADF` when `cgroup` is no cgroup v2 directory, `EPERM` without the right to.
pub fn attach_device_program(cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut attributes = AttachAttributes {
        target_fd: cgroup.as_fd().as_raw_fd().cast_unsigned(),
        program_fd: program.as_fd().as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the attributes hold no pointers, and the size is that of the structure.
    unsafe { bpf(BPF_PROG_ATTACH, &raw mut attributes) }.map(drop)
}

/// # Safety
/// `attributes` must be laid out as the kernel expects for `command`, with valid pointers.
unsafe fn bpf<T>(command: libc::c_long, attributes: *mut T) -> io::Result<libc::c_long> {
    // SAFETY: promised by the caller.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
