//! `ros` and the power commands.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{ROLES, log};

/// Roles that are bodies of system containers and are called as `ros NAME` (E1-035).
const BODIES: [&str; 4] = ["console-init", "user-docker", "udev-settle", "entrypoint"];

/// The management command, or the body of a system container.
pub fn ros(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let first = args.first().and_then(|arg| arg.to_str());
    if let Some(name) = first.filter(|name| BODIES.contains(name))
        && let Some(role) = ROLES.iter().find(|role| role.name == name)
    {
        return (role.run)(args[1..].to_vec());
    }
    log::warnings_to_stderr();
    Ok(coracle_cli::ros(args))
}

/// The power command of that name.
pub fn power(name: &str, args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    Ok(coracle_cli::power(name, args))
}
