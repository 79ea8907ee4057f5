//! What the platform hands to a machine: user data and metadata (inventory section C).
//!
//! A source is a volume that is already mounted; finding and mounting it is the caller's work. [`Seed::read`] reads it,
//! [`Seed::save`] keeps the result where [`coracle_config::load`] finds it. The formats are parsed by pure functions.

mod config_drive;
mod nocloud;
mod save;
mod user_data;
mod volume;

use std::path::PathBuf;

use coracle_config::{Metadata, Problem};

pub use user_data::UserData;
pub use volume::VolumeKind;

/// Everything a source gave, parsed and checked; nothing of it is stored yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// Which format the volume had.
    pub kind: VolumeKind,
    /// Host name, keys and addresses.
    pub metadata: Metadata,
    /// What the owner of the machine wrote, if anything.
    pub user_data: Option<UserData>,
    /// The platform's network description, kept as it came for the network service.
    pub network: Option<String>,
    /// Keys of the user data that were left out, and why.
    pub problems: Vec<Problem>,
}

/// What can be wrong with a source. The text names the file on the volume.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file on the volume exists and cannot be read.
    #[error("cannot read {} ({source}); check or remake the configuration volume", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than [`volume::LIMIT`].
    #[error("{} is larger than {limit} bytes; no configuration is that long", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file does not have the format that its name promises.
    #[error("{0}")]
    Format(Problem),
    /// The result cannot be kept.
    #[error("cannot write {} ({source}); the configuration volume is read again at the next boot", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Short form used throughout the crate.
pub type Result<T> = std::result::Result<T, Error>;

fn format_error(file: &str, text: impl Into<String>) -> Error {
    Error::Format(Problem {
        file: file.to_owned(),
        line: None,
        key: None,
        text: text.into(),
    })
}
