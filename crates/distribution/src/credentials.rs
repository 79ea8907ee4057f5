//! Who we are for a registry.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

/// Docker's `AuthConfig`: the JSON in `X-Registry-Auth`, the body of `POST /auth`, an entry of `registry_auths`.
#[derive(Clone, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// `user:password` in base64, instead of both.
    pub auth: String,
    /// The registry that they are for, as the user wrote it.
    pub serveraddress: String,
    /// An OAuth2 refresh token, from an earlier login.
    pub identitytoken: String,
    /// A bearer token, used as it is.
    pub registrytoken: String,
}

/// Secrets are not for logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the header `X-Registry-Auth`: JSON in base64, of the URL-safe alphabet or the other one, padded or not.
    /// What cannot be read is as good as nothing (Docker API, "Authentication").
    pub fn from_header(text: &str) -> Self {
        decode(text)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map(Self::unfolded)
            .unwrap_or_default()
    }

    /// With `auth` taken apart into user name and password.
    #[must_use]
    pub fn unfolded(mut self) -> Self {
        if self.username.is_empty()
            && let Some(bytes) = decode(&self.auth)
            && let Ok(text) = String::from_utf8(bytes)
            && let Some((user, password)) = text.split_once(':')
        {
            self.username = user.to_owned();
            // Old clients wrote the zero bytes of their buffer.
            self.password = password.trim_end_matches('\0').to_owned();
        }
        self
    }

    /// Whether there is nothing that could be shown to a registry.
    pub fn is_empty(&self) -> bool {
        self.username.is_empty() && self.identitytoken.is_empty() && self.registrytoken.is_empty()
    }

    /// The value of an `Authorization` header (RFC 7617); none without a user name.
    pub(crate) fn basic(&self) -> Option<String> {
        let pair = format!("{}:{}", self.username, self.password);
        let text = base64::engine::general_purpose::STANDARD.encode(pair);
        (!self.username.is_empty()).then(|| format!("Basic {text}"))
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [URL_SAFE, STANDARD]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_leniently() {
        let json = r#"{"username":"ann","password":"s?>","serveraddress":"reg.lan"}"#;
        let engine = base64::engine::general_purpose::URL_SAFE;
        let padded = engine.encode(json);
        let expected = Credentials {
            username: "ann".into(),
            password: "s?>".into(),
            serveraddress: "reg.lan".into(),
            ..Credentials::default()
        };
        for text in [
            padded.as_str(),
            padded.trim_end_matches('='),
            &base64::engine::general_purpose::STANDARD.encode(json),
        ] {
            assert_eq!(Credentials::from_header(text), expected, "{text}");
        }
        for text in ["", "!", "e30", "bm8ganNvbg"] {
            assert_eq!(Credentials::from_header(text), Credentials::default());
        }
    }

    #[test]
    fn a_folded_pair_is_taken_apart() {
        let folded = Credentials {
            auth: "YW5uOnM6Pw==".into(),
            ..Credentials::default()
        };
        let credentials = folded.unfolded();
        assert_eq!(
            (credentials.username.as_str(), credentials.password.as_str()),
            ("ann", "s:?")
        );
        assert_eq!(credentials.basic().unwrap(), "Basic YW5uOnM6Pw==");
        assert_eq!(Credentials::default().basic(), None);
        assert!(!format!("{credentials:?}").contains("s:?"));
    }
}
