//! Image references in Docker's grammar (the `reference` package of distribution, with docker.io's normalisation).

use std::fmt;

use crate::digest::Digest;
use crate::error::Error;

/// Names without a domain are of this registry.
const DEFAULT_DOMAIN: &str = "docker.io";
/// Its former name.
const LEGACY_DOMAIN: &str = "index.docker.io";
/// There, names without a slash are below this path.
const OFFICIAL: &str = "library/";
/// Longest repository name, in bytes.
const NAME_LIMIT: usize = 255;
/// Longest tag, in bytes.
const TAG_LIMIT: usize = 128;

/// A repository name in its full form: `docker.io/library/busybox`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Named {
    domain: String,
    path: String,
}

/// A repository name with optional tag and digest.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reference {
    /// Repository.
    pub name: Named,
    /// Tag, if given.
    pub tag: Option<String>,
    /// Digest, if given.
    pub digest: Option<Digest>,
}

impl Named {
    /// Registry: `docker.io`, `registry.example:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Name within the registry: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The form that users type: `busybox`.
    pub fn familiar(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.to_string();
        }
        match self.path.strip_prefix(OFFICIAL) {
            // What looks like an image's id is no name without its first part.
            Some(rest) if !rest.contains('/') && !is_id(rest) => rest.to_owned(),
            _ => self.path.clone(),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)
    }
}

impl Reference {
    /// Parses `[domain/]path[:tag][@digest]`, adding `docker.io` and `library` where Docker does; no default tag.
    ///
    /// # Errors
    /// [`Error::InvalidReference`] in Docker's words.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidReference("invalid reference format".to_owned());
        if is_id(text) {
            return Err(Error::InvalidReference(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (domain, rest) = split_domain(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| invalid())?)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let path = match domain {
            DEFAULT_DOMAIN if !path.contains('/') => format!("{OFFICIAL}{path}"),
            _ => path.to_owned(),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(Error::InvalidReference(format!(
                "invalid reference format: repository name ({path}) must be lowercase"
            )));
        }
        if !is_domain(domain) || !path.split('/').all(is_path_component) || !tag.is_none_or(is_tag)
        {
            return Err(invalid());
        }
        if domain.len() + 1 + path.len() > NAME_LIMIT {
            return Err(Error::InvalidReference(format!(
                "repository name must not be more than {NAME_LIMIT} characters"
            )));
        }
        let name = Named {
            domain: domain.to_owned(),
            path,
        };
        Ok(Self {
            name,
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// With tag `latest` when there is neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The form that users type: `busybox:latest`.
    pub fn familiar(&self) -> String {
        self.with_name(self.name.familiar())
    }

    fn with_name(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text = format!("{text}:{tag}");
        }
        if let Some(digest) = &self.digest {
            text = format!("{text}@{digest}");
        }
        text
    }
}

/// The full form: `docker.io/library/busybox:latest`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_name(self.name.to_string()))
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The first component is a domain when it looks like a host: with dot, colon or capitals, or `localhost`.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((LEGACY_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.to_lowercase() != first =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port))
            if !host.ends_with(':') && (host.ends_with(']') || !host.contains(':')) =>
        {
            (host, Some(port))
        }
        _ => (text, None),
    };
    let port_is_number =
        port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let host_is_valid = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
        }
        None => host.split('.').all(|label| {
            let bytes = label.as_bytes();
            let ends = [bytes.first(), bytes.last()];
            ends.iter()
                .all(|b| b.is_some_and(u8::is_ascii_alphanumeric))
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        }),
    };
    port_is_number && host_is_valid
}

/// Lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.split(alphanumeric).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_LIMIT
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_have_a_full_and_a_familiar_form() {
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            (
                "busybox:1.36",
                "docker.io/library/busybox:1.36",
                "busybox:1.36",
            ),
            ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
            (
                &format!("library/{HEX}:1"),
                &format!("docker.io/library/{HEX}:1"),
                &format!("library/{HEX}:1"),
            ),
            (
                "index.docker.io/library/busybox",
                "docker.io/library/busybox",
                "busybox",
            ),
            (
                "coracle/os-console:v0.1.0",
                "docker.io/coracle/os-console:v0.1.0",
                "coracle/os-console:v0.1.0",
            ),
            ("library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("localhost/x", "localhost/x", "localhost/x"),
            (
                "localhost:5000/x:y",
                "localhost:5000/x:y",
                "localhost:5000/x:y",
            ),
            (
                "ghcr.io/a/b.c_d__e--f:T-1.0_x",
                "ghcr.io/a/b.c_d__e--f:T-1.0_x",
                "ghcr.io/a/b.c_d__e--f:T-1.0_x",
            ),
            ("[fd00::1]:5000/x", "[fd00::1]:5000/x", "[fd00::1]:5000/x"),
            ("Host/x", "Host/x", "Host/x"),
        ] {
            let parsed = Reference::parse(text).unwrap();
            assert_eq!(
                (parsed.to_string().as_str(), parsed.familiar().as_str()),
                (full, familiar),
                "{text}"
            );
        }
        let text = format!("busybox:1@sha256:{HEX}");
        let parsed = Reference::parse(&text).unwrap();
        assert_eq!(parsed.familiar(), text);
        assert_eq!(parsed.with_default_tag().tag.as_deref(), Some("1"));
        assert_eq!(
            Reference::parse("x").unwrap().with_default_tag().familiar(),
            "x:latest"
        );
    }

    #[test]
    fn what_is_no_reference_is_refused_in_dockers_words() {
        let plain = "invalid reference format";
        let long = format!("example.com/{}", "a".repeat(244));
        let long_tag = format!("a:{}", "t".repeat(129));
        for (text, message) in [
            ("", plain),
            (":latest", plain),
            ("a:", plain),
            ("a:-x", plain),
            ("a:b:c", plain),
            (&long_tag, plain),
            ("a@sha256:00", plain),
            ("a b", plain),
            ("-a", plain),
            ("a-", plain),
            ("a..b", plain),
            ("a___b", plain),
            ("a//b", plain),
            ("/a", plain),
            ("a/", plain),
            ("-host.com/a", plain),
            ("host.com:x/a", plain),
            (
                "Busybox",
                "invalid reference format: repository name (library/Busybox) must be lowercase",
            ),
            (
                "a/B:c",
                "invalid reference format: repository name (a/B) must be lowercase",
            ),
            (
                &long,
                "repository name must not be more than 255 characters",
            ),
            (
                HEX,
                "invalid repository name (e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855), cannot \
                 specify 64-byte hexadecimal strings",
            ),
        ] {
            assert_eq!(
                Reference::parse(text).unwrap_err().to_string(),
                message,
                "{text}"
            );
        }
    }
}
