//! The services of the machine: compose v1 definitions in, Docker Engine API calls out.
//!
//! The pure part reads definitions ([`Project`]), works out who waits for whom ([`Order`]) and what to ask an engine for
//! ([`create_body`]). The acting part talks to an engine through its public API only, so the same code starts the system's
//! services at boot, answers `ros service`, and works against any dockerd.

mod container;
mod environment;
pub mod labels;
mod lenient;
mod order;
mod parse;
mod ports;
mod problem;
mod project;
mod service;

pub use container::{config_hash, create_body};
pub use environment::Environment;
pub use order::{Order, Step, Why};
pub use ports::Port;
pub use problem::Problem;
pub use project::Project;
pub use service::{Device, Restart, Service, Ulimit, Variable};
