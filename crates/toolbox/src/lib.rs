//! Debian packages for people who are not root and may not run Debian.
//!
//! [`Archive`] is a private apt: own lists, own cache, an empty package status, signatures verified by apt against Debian's
//! archive keyring. It resolves and downloads packages without touching the machine's own apt state.
//!
//! [`Toolbox`] is a directory of unpacked trixie tools (QEMU, OVMF, mkfs.erofs, xorriso, GRUB, …) that are run through their own
//! dynamic linker, so the versions used to build and test are the same on every host and nothing gets installed.
//! Both need only `apt-get`, `apt-cache` and `dpkg-deb` of the host.

mod archive;
mod deb;
mod digest;
mod error;
mod progress;
mod source;
mod suite;
mod tools;

pub use archive::{Archive, Package};
pub use deb::unpack;
pub use digest::sha256_hex;
pub use error::Error;
pub use source::SourcePackage;
pub use suite::Suite;
pub use tools::Toolbox;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
