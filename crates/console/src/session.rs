//! `coracle session PROGRAM [ARGUMENT]...`: starts a program in a session of its own. A role of its own because no Rust
//! code may run between fork and exec.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::error::Error;

/// Name of the role.
pub const ROLE: &str = "session";

/// Becomes the program; returns only when it cannot.
///
/// # Errors
/// There is no program to run, or it cannot be executed.
pub fn run(arguments: &[OsString]) -> Error {
    let Some((program, rest)) = arguments.split_first() else {
        return Error::Config {
            key: ROLE.to_owned(),
            message: "name the program to run".to_owned(),
        };
    };
    // Fails only for a process group leader, as after `exec` in a shell: then it leads its own group already.
    let _ = rustix::process::setsid();
    Error::Start {
        program: program.to_string_lossy().into_owned(),
        cause: Command::new(program).args(rest).exec(),
    }
}
