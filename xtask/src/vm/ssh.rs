use std::os::unix::process::CommandExt;

use anyhow::Context;
use clap::Args;
use coracle_testkit::{BOOT_LIMIT, GUEST_USER};

use super::Name;

/// Options of `cargo xtask vm ssh`.
#[derive(Debug, Args)]
pub struct Ssh {
    #[command(flatten)]
    name: Name,
    /// User in the guest.
    #[arg(long, default_value = GUEST_USER)]
    user: String,
    /// Command to run instead of a login shell.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Ssh {
    /// Replaces this process by the SSH client.
    pub fn run(self) -> anyhow::Result<()> {
        let dir = self.name.dir()?;
        dir.wait_for_ssh(&self.user, BOOT_LIMIT)?;
        let error = dir.ssh(&self.user)?.interactive(&self.command).exec();
        Err(error).context(
            "cannot run `ssh`; install it (Debian, Ubuntu: apt-get install openssh-client)",
        )
    }
}
