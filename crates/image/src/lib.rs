//! Images: names, the store, and the archives they travel in.
//!
//! Everything here is synchronous. What touches untrusted bytes (archives and layers) happens in a helper process,
//! `coracle unpack …` ([`unpack::main`]), which [`Store`] starts through a [`coracle_sys::spawn::Launcher`].

pub mod bundle;
pub mod compression;
pub mod config;
mod digest;
mod error;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod image;
mod layer_archive;
pub mod manifest;
mod platform;
mod recipe;
pub mod reference;
mod store;
pub mod unpack;

pub use config::ImageConfig;
pub use digest::Digest;
pub use error::Error;
pub use image::Image;
pub use platform::Platform;
pub use reference::{Named, Reference};
pub use store::{
    Check, Commit, Finding, ImageUse, Incoming, Loaded, Origin, Received, Removed, Store,
};
