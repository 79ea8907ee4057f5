//! What can go wrong with a registry, in the words of Docker's users.

use std::fmt;
use std::io;

use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::challenge::Challenge;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a registry or of the way to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no answer, or the credentials for the request could not be had; `Get "https://…/v2/": …`.
    #[error("{} \"{url}\": {reason}", verb(method))]
    Request {
        /// The request's method.
        method: Method,
        /// Where it went.
        url: String,
        /// What is wrong.
        reason: Reason,
    },
    /// The registry says no.
    #[error("{0}")]
    Refused(Refusal),
    /// The registry fails.
    #[error("received unexpected HTTP status: {0}")]
    Status(StatusCode),
    /// What came is not what it should be; the text is complete.
    #[error("{0}")]
    Invalid(String),
    /// A file on this side.
    #[error("cannot {action}: {source}")]
    File {
        /// What was tried.
        action: String,
        /// Why not.
        source: io::Error,
    },
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// No connection, or a broken one.
    #[error("{0}")]
    Transport(String),
    /// The registry wants a user name, and there is none.
    #[error("no basic auth credentials")]
    NoCredentials,
    /// The token server says no.
    #[error("{0}")]
    Refused(Refusal),
}

/// Codes of the OCI distribution specification ("Error Codes") that make a difference here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// Wrong credentials, or none.
    Unauthorized,
    /// Right credentials that do not suffice.
    Denied,
    /// No such manifest.
    ManifestUnknown,
    /// No such repository.
    NameUnknown,
    /// Too many requests.
    TooManyRequests,
    /// Any other.
    Other,
}

/// An entry of a registry's `errors`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What it means for us.
    pub code: Code,
    name: String,
    message: String,
}

impl From<coracle_image::manifest::Invalid> for Error {
    fn from(error: coracle_image::manifest::Invalid) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Refusal {
    fn new(name: &str, message: &str) -> Self {
        let (code, name, usual) = match name {
            "UNAUTHORIZED" => (Code::Unauthorized, name, "authentication required"),
            "DENIED" => (
                Code::Denied,
                name,
                "requested access to the resource is denied",
            ),
            "MANIFEST_UNKNOWN" => (Code::ManifestUnknown, name, "manifest unknown"),
            "NAME_UNKNOWN" => (
                Code::NameUnknown,
                name,
                "repository name not known to registry",
            ),
            "TOOMANYREQUESTS" => (Code::TooManyRequests, name, "too many requests"),
            "BLOB_UNKNOWN" => (Code::Other, name, "blob unknown to registry"),
            "" => (Code::Other, "UNKNOWN", "unknown error"),
            name => (Code::Other, name, "unknown error"),
        };
        let message = if message.is_empty() { usual } else { message };
        Self {
            code,
            name: name.to_lowercase().replace('_', " "),
            message: message.to_owned(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl Error {
    /// The code, when the registry (not a token server) has refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// Whether the peer was reached and spoke HTTP: then plain HTTP is not tried in place of TLS.
    pub fn reached(&self) -> bool {
        !matches!(
            self,
            Self::Request {
                reason: Reason::Transport(_),
                ..
            }
        )
    }

    /// Whether another attempt may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Status(_)) || !self.reached()
    }

    pub(crate) fn file(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::File { action, source }
    }

    /// The error in an answer of status 400 or more.
    pub(crate) fn of_answer(
        status: StatusCode,
        content_type: &str,
        challenges: &[Challenge],
        body: &[u8],
    ) -> Self {
        if !status.is_client_error() {
            return Self::Status(status);
        }
        // RFC 6750, 3.1: more precise than the body.
        for challenge in challenges.iter().filter(|c| c.scheme == "bearer") {
            let name = match challenge.get("error") {
                Some("invalid_token") => "UNAUTHORIZED",
                Some("insufficient_scope") => "DENIED",
                _ => continue,
            };
            let message = challenge.get("error_description").unwrap_or_default();
            return Self::Refused(Refusal::new(name, message));
        }
        of_body(status, content_type, body)
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    errors: Vec<Entry>,
    #[serde(default)]
    details: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn of_body(status: StatusCode, content_type: &str, body: &[u8]) -> Error {
    let plain = |message: &str| {
        let name = match status {
            StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
            StatusCode::FORBIDDEN => "DENIED",
            StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
            _ => "",
        };
        Error::Refused(Refusal::new(name, message))
    };
    let text = String::from_utf8_lossy(body);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !matches!(media_type, "application/json" | "application/vnd.api+json") {
        return plain(text.trim());
    }
    let reason = match serde_json::from_slice::<Document>(body) {
        Ok(document) if !document.details.is_empty() => return plain(&document.details),
        Ok(document) => match document.errors.first() {
            Some(first) => return Error::Refused(Refusal::new(&first.code, &first.message)),
            None => "no error details found in HTTP response body".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    if status == StatusCode::UNAUTHORIZED {
        return plain("");
    }
    Error::Invalid(format!(
        "error parsing HTTP {} response body: {reason}: {text:?}",
        status.as_u16()
    ))
}

/// Docker's client library writes methods as words.
fn verb(method: &Method) -> String {
    let (first, rest) = method.as_str().split_at(1);
    format!("{first}{}", rest.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::challenge;

    #[test]
    fn answers_become_dockers_words() {
        const JSON: &str = "application/json; charset=utf-8";
        for (status, content_type, challenge, body, expected) in [
            (
                404,
                JSON,
                "",
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#,
                "manifest unknown: manifest unknown",
            ),
            (
                401,
                JSON,
                r#"Bearer realm="x",error="insufficient_scope""#,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
                "denied: requested access to the resource is denied",
            ),
            (
                401,
                JSON,
                r#"Basic realm="x""#,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
                "unauthorized: authentication required",
            ),
            (401, JSON, "", "{}", "unauthorized: authentication required"),
            (
                401,
                JSON,
                "",
                r#"{"details":"incorrect username or password"}"#,
                "unauthorized: incorrect username or password",
            ),
            (
                429,
                "text/plain",
                "",
                "slow down\n",
                "toomanyrequests: slow down",
            ),
            (
                403,
                "",
                "",
                "",
                "denied: requested access to the resource is denied",
            ),
            (404, "text/html", "", "<p>", "unknown: <p>"),
            (
                404,
                JSON,
                "",
                "{}",
                "error parsing HTTP 404 response body: no error details found in HTTP response body: \"{}\"",
            ),
            (
                502,
                JSON,
                "",
                "{}",
                "received unexpected HTTP status: 502 Bad Gateway",
            ),
        ] {
            let error = Error::of_answer(
                StatusCode::from_u16(status).unwrap(),
                content_type,
                &challenge::parse(challenge),
                body.as_bytes(),
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn requests_are_named_as_in_docker() {
        let error = Error::Request {
            method: Method::HEAD,
            url: "http://reg.lan/v2/x/manifests/1".into(),
            reason: Reason::NoCredentials,
        };
        assert_eq!(
            error.to_string(),
            "Head \"http://reg.lan/v2/x/manifests/1\": no basic auth credentials"
        );
    }
}
