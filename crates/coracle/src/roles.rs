//! The table of roles. A role is one line here and one small file beside this one that calls its crate.

use std::ffi::OsString;
use std::process::ExitCode;

mod engine;
mod log;
mod netconf;

/// One thing that the binary can be.
pub struct Role {
    /// Base name of `argv[0]`, or `argv[1]` of `coracle`.
    pub name: &'static str,
    /// Gets the arguments after the name.
    pub run: fn(Vec<OsString>) -> anyhow::Result<ExitCode>,
}

/// What an unknown name means (ARCHITECTURE.md, roles): the management command.
pub const FALLBACK: &str = "ros";

/// Every role, one line each. ARCHITECTURE.md has the same list with the crates.
pub const ROLES: &[Role] = &[
    // init: `init`, `system`
    Role {
        name: "engine",
        run: engine::run,
    },
    // runtime: `runtime`
    // cli: `ros`, `reboot`, `poweroff`, `halt`, `shutdown`
    Role {
        name: "netconf",
        run: netconf::run,
    },
    // bodies of system containers: `respawn`, `autologin`, `recovery`, `wait-for-docker`, `system-cron`
];
