//! The machine's own network: what the `network` container runs (`netconf`, inventory D1-012).
//!
//! `rancher.network` (inventory B.5) says what each interface should be; the kernel says by netlink which interfaces exist
//! and what happens to them. [`daemon`] brings the two together and stays: it applies static settings, runs a DHCP client per
//! interface, writes `resolv.conf`, and publishes the result in `/run/coracle/network.json` ([`state::NetworkState`]), which
//! others watch. Nothing waits for the network but those who ask to: `ready` in that file says that the first attempt at every
//! interface has ended, well or not.

pub mod cidr;
pub mod commands;
pub mod config;
pub mod daemon;
mod dhcp;
mod error;
pub mod hostname;
mod interface;
mod netlink;
pub mod resolv_conf;
pub mod selector;
pub mod state;

pub use daemon::{Options, run};
pub use error::Error;
