//! `reboot`, `poweroff`, `halt` and `shutdown` (inventory E.2, A.8): check, then ask PID 1.

mod arguments;
mod init;

use coracle_config::paths;

pub(crate) use arguments::Request;

use crate::Error;
use crate::context::Context;

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Reboot,
    PowerOff,
    Halt,
}

impl Request {
    /// Ends the machine's run; returns at once, PID 1 does the rest.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        Context::need_root(&self.line)?;
        if self.force {
            return init::end_now(self.action);
        }
        for note in &self.notes {
            writeln!(context.err, "{note}")?;
        }
        let mistakes = mistakes(context);
        for mistake in &mistakes {
            writeln!(context.err, "{mistake}")?;
        }
        if !mistakes.is_empty() && self.action == Action::Reboot {
            return Err(Error::Refused(format!(
                "the machine would start with these mistakes; repair them, or use {} -f, which does not stop services first",
                self.line
            )));
        }
        init::ask(self.action)
    }
}

/// What is wrong in the files that a user can repair (A8-001). Anything else is no reason to keep the machine running.
fn mistakes(context: &Context<'_>) -> Vec<String> {
    let loaded = coracle_config::load(&context.root);
    let repairable =
        |file: &str| file == paths::CLOUD_CONFIG || file.starts_with(paths::CLOUD_CONFIG_DIR);
    loaded
        .problems
        .iter()
        .filter(|problem| repairable(&problem.file))
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests;
