//! Images that come from registries and go there.
//!
//! `coracle-distribution` speaks with one endpoint; which ones a registry has, and in which order they are tried, is
//! decided here with Docker's rules, as are the texts of errors and of progress.

mod login;
mod progress;
mod pull;
mod push;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use coracle_distribution::{
    Code, Credentials, Endpoint, Error as RegistryError, Registry, Settings,
};
use coracle_image::manifest::Descriptor;
use coracle_image::{Digest, Incoming, Named, Origin, Reference, Store};

use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};

pub use self::login::Distribution;
pub use self::progress::{Progress, Report};
pub use self::pull::PullRequest;
pub use self::push::PushRequest;

/// Name that means no image at all.
const RESERVED: &str = "scratch";

/// The endpoints of a registry, one after the other, until something works at one.
struct Attempts<'a> {
    settings: Arc<Settings>,
    name: &'a Named,
    credentials: Credentials,
    push: bool,
    endpoints: std::vec::IntoIter<Endpoint>,
    /// The endpoint that was opened last.
    current: Option<Endpoint>,
    /// Who has spoken TLS is not asked in the clear.
    secure: HashSet<String>,
    last: Option<RegistryError>,
}

impl Engine {
    /// How registries are reached.
    pub fn registries(&self) -> Arc<Settings> {
        let settings = self.registries.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes how registries are reached, from the next request on.
    pub fn set_registries(&self, settings: Settings) {
        let mut place = self
            .registries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(settings);
    }

    /// Attempts at a repository's registry; without credentials of the client, with those of the configuration.
    fn attempts<'a>(&self, name: &'a Named, credentials: &Credentials, push: bool) -> Attempts<'a> {
        let settings = self.registries();
        Attempts {
            name,
            credentials: match settings.credentials(name) {
                Some(configured) if credentials.is_empty() => configured.clone(),
                _ => credentials.clone(),
            },
            push,
            endpoints: settings.endpoints(name.domain(), !push).into_iter(),
            settings,
            current: None,
            secure: HashSet::new(),
            last: None,
        }
    }
}

impl Attempts<'_> {
    /// Opens the next endpoint that answers.
    ///
    /// # Errors
    /// When there is none: what the last one said.
    async fn next(&mut self) -> Result<Arc<Registry>, RegistryError> {
        while let Some(endpoint) = self.endpoints.next() {
            if !endpoint.tls && self.secure.contains(&endpoint.authority) {
                continue;
            }
            let endpoint = self.current.insert(endpoint);
            let opened = Registry::connect(
                &self.settings,
                endpoint,
                self.name,
                &self.credentials,
                self.push,
            );
            match opened.await {
                Ok(registry) => return Ok(Arc::new(registry)),
                Err(error) => self.failed(error)?,
            }
        }
        // There is always an endpoint.
        Err(self.last.take().unwrap_or_else(|| {
            RegistryError::Invalid(format!("no endpoints found for {}", self.name.familiar()))
        }))
    }

    /// Notes what went wrong at the current endpoint.
    ///
    /// # Errors
    /// The same, when it is final.
    fn failed(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        let Some(endpoint) = self
            .current
            .take()
            .filter(|endpoint| is_worth_another(&error, endpoint))
        else {
            return Err(error);
        };
        tracing::debug!("{}: {error}", endpoint.url());
        if endpoint.tls && error.reached() {
            self.secure.insert(endpoint.authority);
        }
        self.last = Some(error);
        Ok(())
    }
}

/// Whether the next endpoint may do better: what the registry itself has said is final.
fn is_worth_another(error: &RegistryError, endpoint: &Endpoint) -> bool {
    match error {
        RegistryError::Refused(_) | RegistryError::Invalid(_) => endpoint.mirror,
        RegistryError::File { .. } => false,
        RegistryError::Request { .. } | RegistryError::Status(_) => true,
    }
}

/// An error of a registry about an image, in Docker's words.
fn about(reference: &Reference, error: RegistryError) -> Error {
    let text = match error.code() {
        Some(Code::Denied) => format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': {error}",
            reference.name.familiar()
        ),
        Some(Code::ManifestUnknown) => {
            format!("manifest for {} not found: {error}", reference.familiar())
        }
        Some(Code::NameUnknown) => {
            format!(
                "repository {} not found: {error}",
                reference.name.familiar()
            )
        }
        Some(Code::Unauthorized) => return Error::Unauthorized(error.to_string()),
        _ => return Error::Registry(error.to_string()),
    };
    Error::NotInRegistry(text)
}

/// Names that no image can have.
fn check_name(name: &Named) -> Result<()> {
    if name.familiar() == RESERVED {
        return Err(Error::Forbidden(format!("'{RESERVED}' is a reserved name")));
    }
    Ok(())
}

/// An image in the making with its place for blobs on their way. Dropping that takes long, and is done elsewhere.
struct Spool(Option<Arc<Incoming>>);

impl Spool {
    async fn open(store: &Arc<Store>) -> Result<Self, RegistryError> {
        let store = Arc::clone(store);
        let incoming = ours(blocking(move || store.receive()).await)?;
        Ok(Self(Some(Arc::new(incoming))))
    }

    /// Ends it, and waits until what nobody needs is gone.
    async fn close(mut self) {
        if let Some(incoming) = self.0.take() {
            // The worker cannot fail: dropping does not.
            let _ = blocking(move || drop(incoming)).await;
        }
    }

    /// For a worker; nothing else may keep it longer than this.
    fn incoming(&self) -> Result<Arc<Incoming>, RegistryError> {
        // Taken only when this is dropped.
        self.0
            .clone()
            .ok_or_else(|| RegistryError::Invalid("the image is gone".into()))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(incoming) = self.0.take() {
            tokio::task::spawn_blocking(move || drop(incoming));
        }
    }
}

/// A result of the store.
fn ours<T>(result: Result<Result<T, coracle_image::Error>>) -> Result<T, RegistryError> {
    result
        .and_then(|result| result.map_err(Error::from))
        .map_err(|error| RegistryError::Invalid(error.to_string()))
}

/// Remembers what a layer is called in a repository, so that a push to the same registry need not send it.
async fn remember(store: &Arc<Store>, name: &Named, blob: &Descriptor, diff_id: &Digest) {
    let (store, diff_id) = (Arc::clone(store), diff_id.clone());
    let origin = Origin {
        repository: name.to_string(),
        digest: blob.digest.clone(),
        size: blob.size,
        media_type: blob.media_type.clone(),
    };
    let kept = blocking(move || store.remember_origin(&diff_id, origin)).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!("{error}");
    }
}
