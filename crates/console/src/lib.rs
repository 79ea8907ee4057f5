//! The console container: where people log in.
//!
//! [`init`] prepares the container's root at each start (inventory A7-008 to A7-022) and becomes [`respawn`], which keeps the
//! login prompts and sshd running. Nothing here waits for the network or for Docker, and no failure of one step keeps the
//! login prompt away: a machine with a full disk or a broken cloud-config must still let its owner in.

pub mod account;
pub mod authorized_keys;
pub mod banner;
pub mod consoles;
pub mod engine_links;
mod error;
pub mod file;
pub mod getty;
pub mod hooks;
pub mod init;
pub mod mounts;
pub mod password;
pub mod profile;
pub mod respawn;
pub mod session;
pub mod sshd;
mod terminal;
pub mod write_files;

pub use error::Error;
