//! `ros`, the management command, and the power commands `reboot`, `poweroff`, `halt` and `shutdown`.
//!
//! A command is a file below [`commands`](self): it parses its arguments, calls the crate that does the work, and writes what
//! came of it. Nothing here knows how services, disks or configuration work.

mod boot_chart;
mod commands;
mod context;
mod error;
mod power;
mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

pub use error::Error;

/// Runs `ros` with the arguments after its name.
#[must_use]
pub fn ros(args: Vec<OsString>) -> ExitCode {
    match commands::Ros::try_parse_from(std::iter::once("ros".into()).chain(args)) {
        Ok(ros) => context::with_terminal("ros", |context| ros.run(context)),
        Err(error) => usage(&error),
    }
}

/// Runs the power command `name` with the arguments after it.
#[must_use]
pub fn power(name: &str, args: Vec<OsString>) -> ExitCode {
    match power::Request::parse(name, args) {
        Ok(request) => context::with_terminal(name, |context| request.run(context)),
        Err(error) => usage(&error),
    }
}

/// Shows help or what is wrong with the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be done about a terminal that is gone.
    let _ = error.print();
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}
