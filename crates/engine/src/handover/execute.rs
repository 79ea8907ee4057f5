//! The exec itself.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};

use super::descriptors::Idle;
use super::state::IdleState;
use super::{Handover, Inherited, Keeper};
use crate::handover::Arrival;

/// The option that tells a successor where its [`Handover`] is.
pub const OPTION: &str = "--handover";
/// The binary that this process runs, also when its file is no longer there.
const SELF: &str = "/proc/self/exe";

/// An engine that is ready to be succeeded.
#[derive(Debug)]
pub struct Departure {
    pub(super) handover: Handover,
    pub(super) keeper: Keeper,
}

impl Departure {
    /// What will be handed over.
    pub fn handover(&self) -> &Handover {
        &self.handover
    }

    /// Adds connections of clients.
    pub fn keep(&mut self, connections: Vec<Idle>) {
        for Idle { socket, read } in connections {
            let socket = self.keeper.keep(socket);
            self.handover.connections.push(IdleState { socket, read });
        }
    }

    /// Executes `program` with these arguments, `argv[0]` first, and the option that says where the data is. Every other
    /// thread of this process must be at rest, and the engine gone.
    ///
    /// Should that fail, the binary of this process is executed again. Should that fail too, there is no other way than to go
    /// on in this process, with the result.
    pub fn execute(mut self, program: &Path, args: &[OsString]) -> Arrival {
        let error = match self.try_execute(program, args) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        tracing::error!("{error}: the engine goes on as it was");
        Arrival::here(self.handover, self.keeper.into_inherited())
    }

    fn try_execute(
        &mut self,
        program: &Path,
        args: &[OsString],
    ) -> io::Result<std::convert::Infallible> {
        let text = serde_json::to_vec(&self.handover)?;
        let mut memory = std::fs::File::from(memfd_create("handover", MemfdFlags::CLOEXEC)?);
        memory.write_all(&text)?;
        let number = self.keeper.keep(OwnedFd::from(memory));
        let mut args = args.to_vec();
        args.extend([OPTION.into(), number.0.to_string().into()]);
        let env: Vec<OsString> = std::env::vars_os()
            .map(|(mut pair, value)| {
                pair.push("=");
                pair.push(value);
                pair
            })
            .collect();
        self.keeper.expose()?;
        for program in [program, Path::new(SELF)] {
            let error = coracle_sys::exec::hand_over(program, &args, &env);
            tracing::error!("execute {}: {error}", program.display());
        }
        coracle_sys::signal::unblock_all()?;
        Err(io::Error::other("nothing could be executed"))
    }
}

impl Inherited {
    /// Reads the data of a hand-over.
    ///
    /// # Errors
    /// When there is none that this engine can read.
    pub(super) fn read(&mut self, number: super::Number) -> Result<Handover, String> {
        use std::io::{Read, Seek};
        let memory = self
            .take(number)
            .ok_or_else(|| format!("descriptor {} is not open", number.0))?;
        let mut memory = std::fs::File::from(memory);
        let mut text = Vec::new();
        memory
            .rewind()
            .and_then(|()| memory.read_to_end(&mut text))
            .map_err(|error| error.to_string())?;
        parse(&text)
    }
}

fn parse(text: &[u8]) -> Result<Handover, String> {
    let value: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(Handover::VERSION) => {}
        Some(version) => return Err(format!("version {version} is unknown")),
        None => return Err("it has no version".to_owned()),
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_of_the_known_version_is_read() {
        for (text, expected) in [
            (r#"{"version":1,"generation":2}"#, Ok(2)),
            (r#"{"version":2}"#, Err("version 2 is unknown")),
            ("{}", Err("it has no version")),
            ("", Err("EOF while parsing a value at line 1 column 0")),
            (
                r#"{"version":1,"containers":7}"#,
                Err("invalid type: integer `7`, expected a sequence"),
            ),
        ] {
            let read = parse(text.as_bytes()).map(|handover| handover.generation);
            assert_eq!(read, expected.map_err(str::to_owned), "{text}");
        }
    }
}
