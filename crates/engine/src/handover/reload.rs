//! Asking for a hand-over: the new binary is tried, and all work finished, before anything is given up.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coracle_sys::spawn::Command;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::time::timeout;

use super::Handover;
use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::signals;

/// How long the new binary may take to say what it knows.
const TRIAL: Duration = Duration::from_secs(30);
/// How long work may go on before the hand-over is given up.
const QUIET: Duration = Duration::from_secs(60);
/// First word of what a binary says about itself.
const WORD: &str = "handover";
/// Longest text of that kind that is read.
const LONGEST: u64 = 4096;

/// A hand-over that is about to happen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reload {
    /// What will be executed.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
    /// How many times this process will have handed over.
    pub generation: u64,
}

/// What this binary says about itself when it is tried (role `handover`).
pub fn capabilities() -> String {
    format!(
        "{WORD} {} {}\n",
        Handover::VERSION,
        env!("CARGO_PKG_VERSION")
    )
}

/// The version of a binary that can take over from this one, out of its [`capabilities`].
fn version_of(said: &str) -> Option<&str> {
    let mut words = said.split_ascii_whitespace();
    let fits = words.next()? == WORD && words.next()?.parse::<u32>().ok()? == Handover::VERSION;
    words.next().filter(|_| fits)
}

impl Engine {
    /// Prepares the hand-over to `program`; without one, to the file that this process was executed from, which may have been
    /// replaced since. When this succeeds nothing moves any more, and [`Engine::reload_wanted`] ends.
    ///
    /// # Errors
    /// When the program cannot take over, or work does not end in time: then everything goes on as before.
    pub async fn reload(self: &Arc<Self>, program: Option<PathBuf>) -> Result<Reload> {
        let refuse = |why: String| Error::Conflict(format!("cannot reload the engine: {why}"));
        let _only = self
            .reloading
            .try_lock()
            .map_err(|_| refuse("a reload is in progress".into()))?;
        if self.is_shutting_down() {
            return Err(refuse("it is shutting down".into()));
        }
        let program = match program {
            Some(program) if program.is_absolute() => program,
            Some(program) => {
                return Err(refuse(format!(
                    "{} must be an absolute path",
                    program.display()
                )));
            }
            None => installed().doing(|| "read the link /proc/self/exe")?,
        };
        let version = self.try_program(&program).await.map_err(&refuse)?;
        self.work().freeze(QUIET).await.map_err(|busy| {
            refuse(format!(
                "still busy after {} s: {}",
                QUIET.as_secs(),
                busy.join("; ")
            ))
        })?;
        tracing::info!("handing over to {} {version}", program.display());
        self.wanted.send_replace(Some(program.clone()));
        Ok(Reload {
            program,
            version,
            generation: self.generation + 1,
        })
    }

    /// Ends when everything is ready for a hand-over, with what is to be executed.
    pub async fn reload_wanted(&self) -> PathBuf {
        let mut wanted = self.wanted.subscribe();
        loop {
            if let Some(program) = wanted.borrow_and_update().clone() {
                return program;
            }
            // The sender is ours: this cannot fail.
            let _ = wanted.changed().await;
        }
    }

    /// Runs a binary to see whether it can take over: that proves that it exists, may be executed, fits the machine, and
    /// understands the data. Gives its version.
    async fn try_program(&self, program: &Path) -> Result<String, String> {
        let cannot =
            |why: &dyn std::fmt::Display| format!("{} cannot take over: {why}", program.display());
        let (reader, writer) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| cannot(&io::Error::from(error)))?;
        let command = Command::new(program)
            .arg0("coracle")
            .arg("handover")
            .fd(writer, 1);
        let child = self.reaper.spawn(&command).map_err(|error| {
            cannot(&match error.kind() {
                io::ErrorKind::NotFound => format!(
                    "{error}; the path is this process's, which does not see the files of a container"
                ),
                _ => error.to_string(),
            })
        })?;
        drop(command);
        let said = blocking(move || {
            let mut said = String::new();
            File::from(reader)
                .take(LONGEST)
                .read_to_string(&mut said)
                .map(|_| said)
        });
        let both = async { (said.await, child.exit.await) };
        let Ok((said, exit)) = timeout(TRIAL, both).await else {
            // It is not waited for yet, so the number is its own.
            let _ = coracle_sys::signal::send_to(child.pid, signals::KILL);
            return Err(cannot(&format!(
                "it said nothing within {} s",
                TRIAL.as_secs()
            )));
        };
        let said = match said {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => return Err(cannot(&error)),
            Err(error) => return Err(cannot(&error)),
        };
        match (exit.map(|exit| exit.code()), version_of(&said)) {
            (Ok(0), Some(version)) => Ok(version.to_owned()),
            _ => Err(cannot(
                &"it is no coracle, or one that does not understand this one's data",
            )),
        }
    }
}

/// The file that this process was executed from; after an update it may be another one.
fn installed() -> io::Result<PathBuf> {
    let link = fs::read_link("/proc/self/exe")?;
    Ok(
        match link
            .to_str()
            .and_then(|text| text.strip_suffix(" (deleted)"))
        {
            Some(path) => path.into(),
            None => link,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_say_what_they_understand() {
        for (said, expected) in [
            (capabilities().as_str(), Some(env!("CARGO_PKG_VERSION"))),
            ("handover 1 v9\nmore", Some("v9")),
            ("handover 2 v9", None),
            ("handover 1", None),
            ("coracle 1 v9", None),
            ("", None),
        ] {
            assert_eq!(version_of(said), expected, "{said}");
        }
    }
}
