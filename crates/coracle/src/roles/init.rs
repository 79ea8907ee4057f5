//! The roles of PID 1, and of what it starts besides containers.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use coracle_init::PowerAction;

/// `init`: PID 1 in the initrd. `init --phases` prints what the boot consists of.
pub fn init(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    if args.iter().any(|arg| arg == "--phases") {
        print!("{}", coracle_init::phase_table());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(coracle_init::init())
}

/// `system`: PID 1 from the system image. `system --handover NUMBER` is the same once it runs, in another version.
pub fn system(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let arrival = match args.as_slice() {
        [option, number, ..] if option == coracle_init::HANDOVER => {
            number.to_str().and_then(|number| number.parse().ok())
        }
        _ => None,
    };
    Ok(coracle_init::system(arrival))
}

/// `finish reboot|poweroff|halt`: PID 1 at the very end.
pub fn finish(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let action = args
        .first()
        .and_then(|arg| arg.to_str())
        .and_then(PowerAction::from_name);
    Ok(coracle_init::finish(
        action.context("finish what? reboot, poweroff or halt")?,
    ))
}

/// `console-shell TERMINAL SHELL`: a recovery shell on a terminal.
pub fn console_shell(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let [terminal, shell] = args.as_slice() else {
        bail!("console-shell TERMINAL SHELL")
    };
    Ok(coracle_init::console_shell(
        Path::new(terminal),
        Path::new(shell),
    )?)
}

/// `modprobe [-q] [-a] NAME...`: loads kernel modules; the kernel calls it too.
pub fn modprobe(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let args: Vec<String> = args
        .iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    Ok(coracle_init::modprobe(&args))
}
