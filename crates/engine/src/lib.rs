//! System Docker: containers and everything that belongs to them.
//!
//! [`Engine`] is the whole interface; the API server (`coracle-api`) only parses requests, calls it, and renders what it
//! gives. The files here hold one subject each: what is kept (`record`, `disk`, `table`, `volumes`), how a container
//! comes to run (`create`, `prepare`, `spec`, `start`), what serves it while it does (`stdio`, `pump`, `streams`,
//! `logs`, `exec`, `health`, `oom`), how it ends (`supervise`, `stop`, `remove`, `restart`, `restore`), and what becomes of
//! it (`commit`). `handover` is how a new version takes over; `check` tells whether all of that agrees.

mod archive;
mod attach;
mod cgroup;
mod changes;
mod check;
mod commit;
mod console;
mod container;
mod create;
pub mod detach;
mod disk;
mod engine;
mod error;
mod events;
mod exec;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod handover;
mod health;
mod id;
mod image_defaults;
mod image_ops;
mod import;
mod listen;
mod lock;
mod log_options;
mod logs;
mod mount_sources;
mod mounts;
mod names;
mod namespaces;
mod network_files;
pub mod networks;
mod oom;
mod prepare;
mod pump;
mod reaper;
mod record;
mod registry;
mod remove;
mod resources;
mod restart;
mod restore;
mod rootfs;
mod scoped;
mod security;
mod settings;
mod shared_mounts;
mod signals;
mod spec;
mod start;
mod stats;
mod stdio;
mod stop;
mod streams;
mod supervise;
mod table;
mod task;
pub mod time;
mod top;
mod update;
mod usage;
mod user;
mod volume_ops;
mod volumes;
mod wait;
mod work;

pub use archive::{ExtractOptions, PathStat};
pub use attach::{AttachRequest, Attachment, LogStream};
pub use changes::ChangeKind;
pub use check::{Check, Finding};
pub use commit::CommitRequest;
pub use container::{Container, Snapshot};
pub use create::{CreateRequest, Created};
pub use engine::{Engine, Options};
pub use error::{Error, Result};
pub use events::{Event, EventFilter, Events, Kind};
pub use exec::{Exec, ExecRequest};
pub use health::{Health, HealthStatus, ProbeResult};
pub use id::short as short_id;
pub use import::ImportRequest;
pub use logs::{LogLine, LogQuery, Rotation, Tail};
pub use reaper::{Child, Exit, Reaper};
pub use record::{MountKind, MountPoint, MountedImage, Record, State, Status};
pub use registry::{Distribution, Progress, PullRequest, PushRequest, Report};
pub use restart::Policy;
pub use settings::{Settings, Ulimit};
pub use stats::{Cpu, Interface, Io, Memory, Sample};
pub use streams::{Input, Output, Stream};
pub use top::Processes;
pub use volumes::{Volume, VolumeRequest};
pub use wait::{Ended, WaitCondition, Waiter};
pub use work::{Phase, Task, Work};
