//! Versions of the API: `/v1.47/containers/json`.

use std::fmt;

use crate::error::{Error, Result};

/// A version of the Docker Engine API.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    /// The newest that is spoken: that of the `bollard-stubs` models. Requests without a version mean this one.
    pub const NEWEST: Self = Self::new(1, 53);
    /// The oldest that is spoken. Docker Engine 29 dropped those before 1.44; older clients exist all the same.
    pub const OLDEST: Self = Self::new(1, 24);

    /// Version `major.minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Parses what a client put into the path, without the `v`, and checks that it is spoken.
    ///
    /// # Errors
    /// Docker's texts for versions that are too old or too new.
    pub fn negotiate(text: &str) -> Result<Self> {
        let version = text
            .split_once('.')
            .and_then(|(major, minor)| Some(Self::new(major.parse().ok()?, minor.parse().ok()?)))
            .ok_or_else(|| {
                Error::BadRequest(format!(
                    "invalid API version \"{text}\": expected a form like {}",
                    Self::NEWEST
                ))
            })?;
        if version < Self::OLDEST {
            return Err(Error::BadRequest(format!(
                "client version {version} is too old. Minimum supported API version is {}, please upgrade your client \
                 to a newer version",
                Self::OLDEST
            )));
        }
        if version > Self::NEWEST {
            return Err(Error::BadRequest(format!(
                "client version {version} is too new. Maximum supported API version is {}",
                Self::NEWEST
            )));
        }
        Ok(version)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Takes the version off a path: `/v1.47/info` is `(Some("1.47"), "/info")`.
pub fn split(path: &str) -> (Option<&str>, &str) {
    let is_version = |text: &&str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    path.strip_prefix("/v")
        .and_then(|rest| rest.find('/').map(|end| rest.split_at(end)))
        .filter(|(version, _)| is_version(version))
        .map_or((None, path), |(version, rest)| (Some(version), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_first_segment_if_it_looks_like_one() {
        for (path, expected) in [
            ("/v1.47/info", (Some("1.47"), "/info")),
            ("/info", (None, "/info")),
            ("/v1.47", (None, "/v1.47")),
            ("/version", (None, "/version")),
            ("/volumes/x", (None, "/volumes/x")),
            ("/v/x", (None, "/v/x")),
            ("", (None, "")),
        ] {
            assert_eq!(split(path), expected, "{path}");
        }
    }

    #[test]
    fn versions_outside_the_range_are_refused_in_dockers_words() {
        let old = "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to \
                   a newer version";
        for (text, expected) in [
            ("1.24", Ok("1.24")),
            ("1.53", Ok("1.53")),
            ("1.23", Err(old)),
            (
                "1.54",
                Err("client version 1.54 is too new. Maximum supported API version is 1.53"),
            ),
            (
                "2.0",
                Err("client version 2.0 is too new. Maximum supported API version is 1.53"),
            ),
            (
                "1",
                Err("invalid API version \"1\": expected a form like 1.53"),
            ),
            (
                "1..3",
                Err("invalid API version \"1..3\": expected a form like 1.53"),
            ),
        ] {
            let result = ApiVersion::negotiate(text)
                .map(|version| version.to_string())
                .map_err(|error| error.to_string());
            assert_eq!(
                result,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{text}"
            );
        }
    }
}
