//! Cloud-config: the one description of the machine, merged from defaults, files, the kernel command line and metadata.
//!
//! Everything but [`load`] is pure: text in, a tree of [`serde_json::Value`] out, problems as a list that names file, line
//! and key. A bad file or a value of the wrong type never stops the boot; it is left out and reported (inventory B1-011).
//!
//! * [`load`] reads the fixed places below a root directory; every role of the binary uses it.
//! * [`Config`] is the typed view; [`Loaded::tree`] the merged tree for everything that it does not name.
//! * [`cmdline::parse`], [`merge::merge`], [`tree::get`] and [`tree::set`] are the pieces.

pub mod cmdline;
mod docker;
mod layer;
pub mod lenient;
mod load;
pub mod merge;
mod metadata;
mod model;
mod network;
mod problem;
pub mod tree;
pub mod yaml;

pub use docker::DockerConfig;
pub use layer::{Layer, combine};
pub use load::{Loaded, load, paths};
pub use metadata::{Metadata, substitute};
pub use model::{CloudInit, Command, Config, Defaults, Rancher, Ssh, State, Upgrade, WriteFile};
pub use network::{Dns, Interface, Network};
pub use problem::Problem;
