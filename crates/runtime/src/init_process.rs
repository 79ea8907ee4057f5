//! `docker run --init`: a first process that passes signals on and reaps what it inherits.
//!
//! In the container it is `/sbin/docker-init -- PROGRAM ARGUMENTS`.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use coracle_sys::signal;
use coracle_sys::spawn::Command;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{isatty, tcsetpgrp};

use crate::failure::FailureKind;
use crate::helper::program::{DEFAULT_PATH, find_executable};

/// `SIGCHLD`, the only signal that is not passed on.
const CHILD_ENDED: i32 = 17;

/// Runs a program as its init. `args` are those after the name; gives the program's exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().skip_while(|arg| arg == "--");
    let Some(program) = args.next() else {
        eprintln!("usage: docker-init -- PROGRAM [ARGUMENT...]");
        return ExitCode::from(1);
    };
    match run(&program.to_string_lossy(), args) {
        Ok(code) => ExitCode::from(code),
        Err((kind, message)) => {
            eprintln!("docker-init: {message}");
            ExitCode::from(match kind {
                FailureKind::NotFound => 127,
                _ => 126,
            })
        }
    }
}

fn run(program: &str, args: impl Iterator<Item = OsString>) -> Result<u8, (FailureKind, String)> {
    let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
    let file = find_executable(program, &path)?;
    let failed = |error: io::Error| (FailureKind::Other, format!("exec {program}: {error}"));
    // Before the child exists, so that no signal is lost. The child starts with an empty mask.
    signal::block_all().map_err(failed)?;
    let mut command = Command::new(file).arg0(program).args(args).own_group();
    for (key, value) in std::env::vars_os() {
        command = command.env(key, value);
    }
    for (fd, number) in [(stdin(), 0), (stdout(), 1), (stderr(), 2)] {
        let copy = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|error| failed(error.into()))?;
        command = command.fd(copy, number);
    }
    let pid = command.spawn().map_err(failed)?;
    drop(command);
    if isatty(stdin()) {
        // A container without a controlling terminal has nothing to hand over.
        let _ = tcsetpgrp(stdin(), pid);
        // It may have been stopped for reading before the terminal was its own.
        let _ = kill_process(pid, Signal::CONT);
    }
    serve(pid).map_err(failed)
}

/// Passes signals on until the program has ended.
fn serve(pid: Pid) -> io::Result<u8> {
    loop {
        let number = signal::wait_any()?;
        if number != CHILD_ENDED {
            // It may have just ended.
            let _ = signal::send_to(pid, number);
            continue;
        }
        let mut code = None;
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended == pid {
                code = exit_code(status);
            }
        }
        if let Some(code) = code {
            return Ok(code);
        }
    }
}

/// As shells count: 128 plus the number of the signal that killed it. `None`: it has only been stopped.
fn exit_code(status: WaitStatus) -> Option<u8> {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(number)) => 128 + number,
        (None, None) => return None,
    };
    Some(u8::try_from(code).unwrap_or(255))
}
