//! The eBPF program that enforces device rules on cgroup v2.
//!
//! cgroup v2 has no device controller; a program of type `BPF_PROG_TYPE_CGROUP_DEVICE` attached to the group decides each
//! `open` and `mknod` (kernel documentation, "Control Group v2", Device controller). libcontainer has none without
//! libbpf, a C library, so this one is written out.

use std::path::Path;

use coracle_sys::bpf::{Instruction, attach_device_program, load_device_program};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{Mode, OFlags};

use crate::Error;

/// Access bits of `struct bpf_cgroup_dev_ctx`.
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ALL_ACCESS: i32 = MKNOD | READ | WRITE;
/// Device types of the same structure.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

/// Operation codes (`include/uapi/linux/bpf.h`, `bpf_common.h`).
const LOAD_WORD: u8 = 0x61;
const MOVE_IMMEDIATE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const EXIT: u8 = 0x95;

/// Registers: the result, the context (later scratch), then what is known of the access.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Compiles rules to a program.
///
/// As in cgroup v1, for each of read, write and mknod the last rule that matches decides, and an access needs all
/// that it wants. What no rule speaks of is denied.
pub fn program(rules: &[LinuxDeviceCgroup]) -> Vec<Instruction> {
    let mut program = vec![
        load(KIND, 0),
        op(AND, KIND, 0xffff),
        load(WANTED, 0),
        op(SHIFT_RIGHT, WANTED, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        let Some(compiled) = compile(rule) else {
            continue;
        };
        program.extend(compiled.code);
        if compiled.decides_everything {
            // The verifier refuses code that cannot be reached.
            return program;
        }
    }
    program.extend([op(MOVE_IMMEDIATE, RESULT, 0), op(EXIT, 0, 0)]);
    program
}

struct Compiled {
    code: Vec<Instruction>,
    decides_everything: bool,
}

/// One rule: conditions that jump past it, then the decision. `None` for rules that never match.
fn compile(rule: &LinuxDeviceCgroup) -> Option<Compiled> {
    let access = rule.access().as_deref().map_or(ALL_ACCESS, |text| {
        text.chars().fold(0, |bits, letter| {
            bits | match letter {
                'r' => READ,
                'w' => WRITE,
                'm' => MKNOD,
                _ => 0,
            }
        })
    });
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(BLOCK),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(CHARACTER),
        Some(LinuxDeviceType::P) => return None,
    };
    // A negative number means any, as in older versions of the runtime specification.
    let number = |value: Option<i64>| value.filter(|n| *n >= 0).map(i32::try_from).transpose();
    let (Ok(major), Ok(minor)) = (number(rule.major()), number(rule.minor())) else {
        return None;
    };
    if access == 0 {
        return None;
    }
    let conditions: Vec<(u8, i32)> = [(KIND, kind), (MAJOR, major), (MINOR, minor)]
        .into_iter()
        .filter_map(|(r, v)| Some((r, v?)))
        .collect();
    let decision = match (rule.allow(), access == ALL_ACCESS) {
        (allow, true) => vec![op(MOVE_IMMEDIATE, RESULT, i32::from(allow)), op(EXIT, 0, 0)],
        // What this rule allows is no longer wanted; when nothing is left, all is allowed.
        (true, false) => vec![
            op(AND, WANTED, ALL_ACCESS & !access),
            jump(JUMP_IF_NOT_EQUAL, WANTED, 0, 2),
            op(MOVE_IMMEDIATE, RESULT, 1),
            op(EXIT, 0, 0),
        ],
        (false, false) => vec![
            Instruction {
                code: MOVE_REGISTER,
                registers: WANTED << 4 | CONTEXT,
                offset: 0,
                immediate: 0,
            },
            op(AND, CONTEXT, access),
            jump(JUMP_IF_EQUAL, CONTEXT, 0, 2),
            op(MOVE_IMMEDIATE, RESULT, 0),
            op(EXIT, 0, 0),
        ],
    };
    let decides_everything = conditions.is_empty() && access == ALL_ACCESS;
    let length = conditions.len() + decision.len();
    let mut code = Vec::with_capacity(length);
    for (index, (register, value)) in conditions.into_iter().enumerate() {
        // At most eight instructions: the distance fits.
        code.push(jump(
            JUMP_IF_NOT_EQUAL,
            register,
            value,
            (length - index - 1) as i16,
        ));
    }
    code.extend(decision);
    Some(Compiled {
        code,
        decides_everything,
    })
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction {
        code: LOAD_WORD,
        registers: CONTEXT << 4 | register,
        offset,
        immediate: 0,
    }
}

fn op(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: 0,
        immediate,
    }
}

fn jump(code: u8, register: u8, value: i32, distance: i16) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: distance,
        immediate: value,
    }
}

/// Compiles, loads and attaches `rules` to the control group directory `cgroup`.
///
/// Do it once, on a freshly made group, before anything runs in it: filters add up (they must, so that an engine in the
/// container can have its own below), and an access needs the consent of all.
///
/// # Errors
/// [`Error::DeviceFilter`].
pub fn attach(cgroup: &Path, rules: &[LinuxDeviceCgroup]) -> Result<(), Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(cgroup, flags, Mode::empty())
        .map_err(Into::into)
        .and_then(|directory| {
            attach_device_program(directory, load_device_program(&program(rules))?)
        })
        .map_err(|source| Error::DeviceFilter {
            path: cgroup.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::{default_rules, parse_rule, privileged_rules};

    /// What the kernel would answer.
    fn run(program: &[Instruction], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let context = [(access as u32) << 16 | kind as u32, major, minor];
        let mut registers = [0u32; 11];
        let mut at = 0;
        loop {
            let i = program[at];
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let value = i.immediate as u32;
            at += 1;
            let taken = match i.code {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(i.offset).unwrap() / 4];
                    false
                }
                MOVE_IMMEDIATE => {
                    registers[to] = value;
                    false
                }
                MOVE_REGISTER => {
                    registers[to] = registers[from];
                    false
                }
                AND => {
                    registers[to] &= value;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= value;
                    false
                }
                JUMP_IF_EQUAL => registers[to] == value,
                JUMP_IF_NOT_EQUAL => registers[to] != value,
                EXIT => return registers[0] == 1,
                other => panic!("unknown operation {other:#x}"),
            };
            if taken {
                at += usize::try_from(i.offset).unwrap();
            }
        }
    }

    #[test]
    fn default_rules_allow_the_harmless_devices_and_making_nodes() {
        let program = program(&default_rules());
        for (kind, access, major, minor, allowed) in [
            (CHARACTER, READ | WRITE, 1, 3, true),
            (CHARACTER, READ | WRITE, 1, 11, false),
            (CHARACTER, READ, 1, 1, false),
            (CHARACTER, MKNOD, 1, 1, true),
            (CHARACTER, MKNOD | READ, 1, 1, false),
            (CHARACTER, READ | WRITE, 136, 77, true),
            (CHARACTER, READ | WRITE, 5, 2, true),
            (CHARACTER, READ, 5, 3, false),
            (CHARACTER, READ, 10, 229, false),
            (BLOCK, MKNOD, 8, 0, true),
            (BLOCK, READ, 8, 0, false),
            (BLOCK, READ, 1, 3, false),
        ] {
            assert_eq!(
                run(&program, kind, access, major, minor),
                allowed,
                "{kind} {access} {major}:{minor}"
            );
        }
    }

    #[test]
    fn the_last_matching_rule_decides_each_kind_of_access() {
        let deny = |text: &str| {
            let mut rule = parse_rule(text).unwrap();
            rule.set_allow(false);
            rule
        };
        let allow = |text: &str| parse_rule(text).unwrap();
        let cases = [
            (vec![], CHARACTER, READ, false),
            (vec![allow("a *:* rwm")], BLOCK, READ | WRITE | MKNOD, true),
            (
                vec![allow("a *:* rwm"), deny("c 1:* w")],
                CHARACTER,
                READ,
                true,
            ),
            (
                vec![allow("a *:* rwm"), deny("c 1:* w")],
                CHARACTER,
                READ | WRITE,
                false,
            ),
            (
                vec![allow("a *:* rwm"), deny("c 1:* w")],
                BLOCK,
                READ | WRITE,
                true,
            ),
            (
                vec![deny("c 1:* w"), allow("c 1:5 rw")],
                CHARACTER,
                WRITE,
                true,
            ),
            (
                vec![allow("c 1:5 r"), allow("c *:5 w")],
                CHARACTER,
                READ | WRITE,
                true,
            ),
            (
                vec![allow("c 1:5 r"), allow("c *:5 w")],
                CHARACTER,
                READ | MKNOD,
                false,
            ),
            (
                vec![allow("c 1:5 rwm"), deny("a *:* rwm")],
                CHARACTER,
                READ,
                false,
            ),
            (vec![allow("c 2:5 rwm")], CHARACTER, READ, false),
        ];
        for (rules, kind, access, allowed) in cases {
            assert_eq!(
                run(&program(&rules), kind, access, 1, 5),
                allowed,
                "{rules:?} {kind} {access}"
            );
        }
    }

    #[test]
    fn nothing_follows_a_rule_that_always_decides() {
        let rules: Vec<_> = default_rules()
            .into_iter()
            .chain(privileged_rules())
            .collect();
        assert_eq!(program(&rules).len(), 8);
    }
}
