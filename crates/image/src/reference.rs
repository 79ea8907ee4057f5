//! Image references in Docker's grammar (distribution's `reference` package; docker.io normalisation).

use std::fmt;

use crate::digest::Digest;
use crate::error::Error;

/// A repository name in its full form: `docker.io/library/busybox`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Named {
    domain: String,
    path: String,
}

/// A name with optional tag and digest, or an image id.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reference {
    /// Repository.
    pub name: Named,
    /// Tag, if given.
    pub tag: Option<String>,
    /// Digest, if given.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Parses `[domain/]path[:tag][@digest]`, adding `docker.io` and `library` where Docker does; no default tag.
    ///
    /// # Errors
    /// [`Error::InvalidReference`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let _ = text;
        unimplemented!()
    }

    /// With tag `latest` when there is neither tag nor digest.
    pub fn with_default_tag(self) -> Self {
        unimplemented!()
    }

    /// The form that users type: `busybox:latest`.
    pub fn familiar(&self) -> String {
        unimplemented!()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}
