//! `docker login`, and what a registry knows about an image.

use std::collections::HashSet;

use coracle_distribution::{Credentials, Error as RegistryError, Registry};
use coracle_image::manifest::{Content, Descriptor};
use coracle_image::{Platform, Reference};

use super::about;
use super::pull::{deprecated, unusable};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// An image in a registry: `DistributionInspect` of the Docker API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Distribution {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// What it runs on.
    pub platforms: Vec<Platform>,
}

impl Engine {
    /// Shows credentials to their registry; gives what may be used instead of the password, if the registry has such.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn log_in(&self, credentials: &Credentials) -> Result<Option<String>> {
        coracle_distribution::login(&self.registries(), credentials)
            .await
            .map_err(|error| {
                let text = error.to_string();
                // The registry or its token server knows the user and says no.
                if text.contains("unauthorized: ") {
                    Error::Unauthorized(text)
                } else {
                    Error::Registry(text)
                }
            })
    }

    /// What a registry knows about an image, without pulling it.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn distribution(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<Distribution> {
        let reference = reference.clone().with_default_tag();
        let mut attempts = self.attempts(&reference.name, credentials, false);
        loop {
            let registry = attempts
                .next()
                .await
                .map_err(|error| about(&reference, error))?;
            match describe(&registry, &reference).await {
                Ok(found) => return Ok(found),
                Err(error) => attempts
                    .failed(error)
                    .map_err(|error| about(&reference, error))?,
            }
        }
    }
}

async fn describe(
    registry: &Registry,
    reference: &Reference,
) -> Result<Distribution, RegistryError> {
    let wanted = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.clone().unwrap_or_default(),
    };
    let found = registry.manifest(&wanted).await?;
    let platforms = match Content::parse(&found.content_type, &found.bytes)? {
        Content::Schema1 => return Err(deprecated(reference)),
        Content::Index(entries) => {
            let mut seen = HashSet::new();
            let platforms = entries.into_iter().filter_map(|entry| entry.platform);
            platforms.filter(|p| seen.insert(p.to_string())).collect()
        }
        Content::Image(manifest) => {
            let config = registry.document(&manifest.config).await?;
            let platform: Platform = serde_json::from_slice(&config).map_err(unusable)?;
            vec![platform]
        }
    };
    let media_type = found.content_type.split(';').next().unwrap_or_default();
    Ok(Distribution {
        descriptor: Descriptor {
            media_type: media_type.to_owned(),
            size: found.bytes.len() as u64,
            digest: found.digest,
        },
        platforms,
    })
}
