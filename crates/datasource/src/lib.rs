//! What a platform gives a machine at its first boot: metadata and user data from a volume (inventory C, A.5).
//!
//! Reading is done from a directory, so that it does not matter how the volume was mounted; parsing is pure.
//!
//! * [`Source`] names a datasource and the volume that it is on.
//! * [`Source::read`] turns a mounted volume into [`Fetched`].
//! * [`save`] keeps the result where [`coracle_config::load`] finds it.

mod config_drive;
mod error;
mod no_cloud;
mod save;
mod source;
mod user_data;

pub use error::Error;
pub use save::save;
pub use source::{Fetched, Source, parse_list};
pub use user_data::UserData;
