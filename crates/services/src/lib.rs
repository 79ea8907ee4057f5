//! The services of the machine: compose v1 definitions in, Docker Engine API calls out.
//!
//! The pure part reads definitions ([`Project`]), works out who waits for whom ([`Order`]) and what to ask an engine for
//! ([`create_body`]). The acting part ([`up`], [`stop`], ...) talks to an engine through its public API only, so the same code
//! starts the system's services at boot, answers `ros service`, and works against any dockerd.

mod actions;
mod boot;
pub mod catalogue;
mod container;
pub mod cron;
mod decision;
mod definitions;
mod engine;
mod engines;
pub mod entrypoint;
mod environment;
mod error;
pub mod labels;
mod lenient;
mod logs;
mod marker;
mod order;
mod parse;
mod ports;
mod preload;
mod problem;
mod project;
mod ps;
mod pull;
mod route;
mod schedule;
mod service;
mod shutdown;
mod snapshot;
pub mod udev_settle;
mod up;
mod walk;

pub use actions::{remove, restart, start, stop};
pub use boot::boot;
pub use catalogue::Catalogue;
pub use container::{config_hash, create_body};
pub use decision::Recreate;
pub use definitions::{from_config, load};
pub use engine::{Container, Engine, Kind, SYSTEM_SOCKET, USER_SOCKET};
pub use engines::Engines;
pub use environment::Environment;
pub use error::Error;
pub use labels::Scope;
pub use logs::{LogLine, LogLines, logs};
pub use order::{Order, Step, Why};
pub use ports::Port;
pub use preload::Places;
pub use problem::Problem;
pub use project::Project;
pub use ps::{Row, ps};
pub use pull::pull;
pub use schedule::Reached;
pub use service::{Device, Restart, Service, Ulimit, Variable};
pub use shutdown::shut_down;
pub use up::{Done, Observer, Options, Outcome, up};
