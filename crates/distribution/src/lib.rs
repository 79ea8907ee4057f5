//! A client of registries: the OCI distribution specification 1.1, as far as pulling and pushing images needs it.
//!
//! [`Settings`] say which endpoints a registry has and how they are trusted; [`Registry::connect`] opens one for one
//! repository, after which manifests and blobs come and go. What a registry sends is never believed: documents are
//! limited in size and everything with a digest is checked against it.

mod blob;
mod challenge;
mod connection;
mod credentials;
mod error;
mod exchange;
mod login;
mod proxy;
mod registry;
mod settings;
pub mod tls;

pub use blob::{Downloaded, Uploaded};
pub use credentials::Credentials;
pub use error::{Code, Error, Reason, Refusal, Result};
pub use login::login;
pub use proxy::Proxies;
pub use registry::{Found, Registry};
pub use settings::{Endpoint, Settings};
