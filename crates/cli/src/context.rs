//! What a command works with: the machine's root, the engines, and where its output goes. Tests give it their own.

use std::future::Future;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use coracle_services::Engines;

use crate::Error;

/// The surroundings of a command.
pub(crate) struct Context<'a> {
    /// Where the machine's files are; `/` but in tests.
    pub root: PathBuf,
    /// System Docker and User Docker.
    pub engines: Engines,
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Standard output.
    pub out: &'a mut (dyn Write + Send),
    /// Standard error.
    pub err: &'a mut (dyn Write + Send),
}

impl Context<'_> {
    /// The path of a file of the machine.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// Refuses anybody but root; `command` is what to put after `sudo`.
    pub(crate) fn need_root(command: &str) -> Result<(), Error> {
        match rustix::process::geteuid().is_root() {
            true => Ok(()),
            false => Err(Error::NotRoot {
                command: command.into(),
            }),
        }
    }
}

/// Runs a command on the terminal and turns its result into an exit status.
pub(crate) fn with_terminal(
    name: &str,
    run: impl FnOnce(&mut Context<'_>) -> Result<(), Error>,
) -> ExitCode {
    let mut context = Context {
        root: Path::new("/").into(),
        engines: Engines::of_this_machine(),
        input: &mut io::stdin().lock(),
        out: &mut io::stdout(),
        err: &mut io::stderr(),
    };
    let result = run(&mut context).and_then(|()| context.out.flush().map_err(Error::from));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, Error::Reported) {
                // Nothing can be done about a terminal that is gone.
                let _ = writeln!(context.err, "{name}: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs the asynchronous part of a command to its end, on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
