//! Networks of containers: which there are and what addresses they have (pure), and the bridges, interfaces and rules that make them
//! work (the kernel's side, synchronous, in the network namespace of the calling thread).
//!
//! The engine (`crates/engine/src/networks`) keeps the state, decides when, and speaks Docker's API.

mod cidr;
pub mod dns;
mod endpoint;
mod error;
pub mod ipam;
mod namespace;
mod network;
pub mod nftables;
mod ports;
mod routing;
pub mod rules;
mod upper;

pub use cidr::{Cidr, InvalidCidr};
pub use endpoint::{Endpoint, HOST_PREFIX, Mac, default_route};
pub use error::{Error, Result};
pub use namespace::Namespace;
pub use network::{Bridge, Driver, Network, is_device_name, is_predefined, mac_address};
pub use ports::{ContainerPort, HostPorts, PortRequest, Protocol, Published};
pub use routing::{Link, Pair, Routing};
pub use upper::{IpvlanFlag, IpvlanMode, Making, Upper, UpperKind};
