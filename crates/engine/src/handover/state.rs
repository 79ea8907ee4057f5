//! What one version of the engine tells the next.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::descriptors::Number;
use crate::events::Event;
use crate::exec::ExecRequest;
use crate::networks::NetworksState;
use crate::record::State;
use crate::streams::Stream;

/// Everything that is not on disk. Only data: descriptors are numbers in it.
///
/// Fields may be added, with a default; when a field changes its meaning, so does [`Handover::VERSION`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Handover {
    /// Which form of data this is.
    pub version: u32,
    /// How many times this process has handed over, this time included.
    pub generation: u64,
    /// When the first engine of this process started, RFC 3339.
    pub started: String,
    /// Counts starts of containers.
    pub starts: u64,
    /// The API's listening socket.
    pub api: Option<Number>,
    /// The API's connections that wait for a request.
    pub connections: Vec<IdleState>,
    /// Sockets of the label `io.rancher.os.listen`, by path.
    pub listeners: BTreeMap<String, Number>,
    /// Every container.
    pub containers: Vec<ContainerState>,
    /// Exec instances.
    pub execs: Vec<ExecHandover>,
    /// How many use each mounted root.
    pub roots: BTreeMap<String, usize>,
    /// Which containers use each mounted volume.
    pub volumes: BTreeMap<String, BTreeSet<String>>,
    /// Networks.
    pub networks: NetworksState,
    /// The last events.
    pub events: Vec<Event>,
}

impl Handover {
    /// The form of data that this engine writes and reads.
    pub const VERSION: u32 = 1;
}

/// A connection of a client that waits for nothing but its own next request.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct IdleState {
    /// Its descriptor.
    pub socket: Number,
    /// What was read of the next request.
    #[serde(default)]
    pub read: Vec<u8>,
}

/// One container.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ContainerState {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: State,
    /// Its run, if its process has not ended.
    pub run: Option<Run>,
    /// Milliseconds until it is started again, if it waits for that.
    pub restart_in: Option<u64>,
    /// The last pause before a restart, milliseconds.
    pub backoff: u64,
    /// Rows and columns asked for before there was a terminal.
    pub terminal_size: Option<(u16, u16)>,
}

/// A container's run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Run {
    /// Its first process.
    pub pid: i32,
    /// When that started, in clock ticks since the machine did: proves that it is still the same one.
    pub pid_started: u64,
    /// Milliseconds since the start.
    pub age: u64,
    /// Whose root it uses.
    pub root_of: String,
    /// Kills for lack of memory that were told.
    pub oom_kills: u64,
    /// Milliseconds until its next health probe.
    pub probe_in: Option<u64>,
    /// Its streams.
    pub streams: StreamEnds,
}

/// The engine's ends of a process's streams.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StreamEnds {
    /// Outputs that have not ended.
    pub outputs: Vec<OutputEnd>,
    /// Its input, if it may still get some.
    pub input: Option<InputEnd>,
    /// Its terminal.
    pub terminal: Option<Number>,
}

/// A reading end.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OutputEnd {
    /// Of which stream.
    pub stream: Stream,
    /// The descriptor.
    pub end: Number,
    /// The beginning of a line that was read and is not in the log.
    #[serde(default)]
    pub line: Vec<u8>,
}

/// A writing end.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct InputEnd {
    /// The descriptor.
    pub end: Number,
    /// What clients sent and the process has not read.
    #[serde(default)]
    pub waiting: Vec<u8>,
    /// The end of the input follows.
    #[serde(default)]
    pub closes: bool,
}

/// An exec instance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ExecHandover {
    /// Its id.
    pub id: String,
    /// Id of its container.
    pub container: String,
    /// What was asked for.
    pub request: ExecRequest,
    /// A client has started it.
    pub started: bool,
    /// How it ended, if it has.
    pub exit_code: Option<i64>,
    /// Its process.
    pub pid: i32,
    /// When that started, if it runs.
    pub pid_started: Option<u64>,
    /// Rows and columns asked for before there was a terminal.
    pub size: Option<(u16, u16)>,
    /// Its streams.
    pub streams: StreamEnds,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_missing_fields_have_defaults() {
        let handover = Handover {
            version: Handover::VERSION,
            generation: 3,
            api: Some(Number(4)),
            containers: vec![ContainerState {
                id: "x".into(),
                run: Some(Run {
                    pid: 7,
                    streams: StreamEnds {
                        outputs: vec![OutputEnd {
                            stream: Stream::Stderr,
                            end: Number(9),
                            line: b"half\xff".to_vec(),
                        }],
                        ..StreamEnds::default()
                    },
                    ..Run::default()
                }),
                ..ContainerState::default()
            }],
            ..Handover::default()
        };
        let text = serde_json::to_string(&handover).unwrap();
        assert_eq!(serde_json::from_str::<Handover>(&text).unwrap(), handover);
        let little: Handover = serde_json::from_str(r#"{"version":1,"new":[]}"#).unwrap();
        assert_eq!(
            little,
            Handover {
                version: 1,
                ..Handover::default()
            }
        );
    }
}
