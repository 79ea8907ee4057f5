//! The roles that the console container is made of.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use coracle_console::getty::{self, Login};

use super::log;

/// `console-init`, also `ros console-init`: prepares the console and becomes `respawn`.
pub fn init(_args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    log::to_stderr();
    Err(coracle_console::init::run(log::configuration()).into())
}

/// `respawn [-f FILE]`
pub fn respawn(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    log::to_stderr();
    coracle_console::respawn::run(&coracle_console::respawn::configuration(&args)?)?;
    Ok(ExitCode::SUCCESS)
}

/// `session PROGRAM [ARGUMENT]...`
pub fn session(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    Err(coracle_console::session::run(&args).into())
}

/// `console-sshd`
pub fn sshd(_args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    log::to_stderr();
    match coracle_console::sshd::run(&log::configuration())? {}
}

/// `console-hooks`
pub fn hooks(_args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    log::to_stderr();
    coracle_console::hooks::run(&log::configuration());
    Ok(ExitCode::SUCCESS)
}

/// `getty TERMINAL`
pub fn getty(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    login(&args, Login::Ask)
}

/// `autologin TERMINAL`
pub fn autologin(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    login(&args, Login::As("rancher"))
}

/// `recovery TERMINAL`
pub fn recovery(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    login(&args, Login::As("root"))
}

fn login(args: &[OsString], login: Login) -> anyhow::Result<ExitCode> {
    log::to_stderr();
    let terminal = match args {
        [terminal] => terminal.to_str(),
        _ => None,
    };
    getty::run(
        terminal.context("name the terminal, for instance tty1")?,
        login,
    )?;
    Ok(ExitCode::SUCCESS)
}
