//! `ros completion`: what the console's image puts where shells look for completions.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Ros;
use crate::Error;
use crate::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// The shell that is to complete `ros`
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Ros::command(), "ros", &mut script);
        Ok(context.out.write_all(&script)?)
    }
}
