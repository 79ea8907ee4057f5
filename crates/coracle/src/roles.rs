//! The table of roles. A role is one line here and one small file beside this one that calls its crate.

use std::ffi::OsString;
use std::process::ExitCode;

mod cli;
mod console;
mod container;
mod engine;
mod init;
mod log;
mod netconf;
mod services;
mod user_docker;

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
    Role {
        name: "init",
        run: init::init,
    },
    Role {
        name: "system",
        run: init::system,
    },
    Role {
        name: "finish",
        run: init::finish,
    },
    Role {
        name: "console-shell",
        run: init::console_shell,
    },
    Role {
        name: "modprobe",
        run: init::modprobe,
    },
    Role {
        name: "engine",
        run: engine::run,
    },
    Role {
        name: "handover",
        run: engine::handover,
    },
    Role {
        name: "runtime",
        run: container::runtime,
    },
    Role {
        name: "unpack",
        run: container::unpack,
    },
    Role {
        name: "docker-init",
        run: container::docker_init,
    },
    Role {
        name: "ros",
        run: cli::ros,
    },
    Role {
        name: "reboot",
        run: |args| cli::power("reboot", args),
    },
    Role {
        name: "poweroff",
        run: |args| cli::power("poweroff", args),
    },
    Role {
        name: "halt",
        run: |args| cli::power("halt", args),
    },
    Role {
        name: "shutdown",
        run: |args| cli::power("shutdown", args),
    },
    Role {
        name: "netconf",
        run: netconf::run,
    },
    Role {
        name: "console-init",
        run: console::init,
    },
    Role {
        name: "respawn",
        run: console::respawn,
    },
    Role {
        name: "session",
        run: console::session,
    },
    Role {
        name: "console-sshd",
        run: console::sshd,
    },
    Role {
        name: "console-hooks",
        run: console::hooks,
    },
    Role {
        name: "getty",
        run: console::getty,
    },
    Role {
        name: "autologin",
        run: console::autologin,
    },
    Role {
        name: "recovery",
        run: console::recovery,
    },
    Role {
        name: "user-docker",
        run: user_docker::supervise,
    },
    Role {
        name: "user-docker-launch",
        run: user_docker::launch,
    },
    Role {
        name: "wait-for-docker",
        run: user_docker::wait,
    },
    Role {
        name: "system-cron",
        run: services::cron,
    },
    Role {
        name: "udev-settle",
        run: services::udev_settle,
    },
    Role {
        name: "entrypoint",
        run: services::entrypoint,
    },
];
