//! `ros env` (E1-034).

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use coracle_services::Environment;

use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Env {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Env {
    /// Becomes the command.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let tree = coracle_config::load(&context.root).tree;
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let environment = Environment::from_config(&tree["rancher"], &release);
        // Variables of one service (`service/KEY`) are no names that a shell could use.
        let shared = environment.iter().filter(|(key, _)| !key.contains('/'));
        let error = Command::new(&self.command[0])
            .args(&self.command[1..])
            .envs(shared)
            .exec();
        Err(Error::file("run", &self.command[0])(error))
    }
}
