//! One repository of a registry, at one endpoint.

use std::fmt::Write as _;

use coracle_image::{Digest, Named};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, LINK};
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::challenge::Challenge;
use crate::credentials::Credentials;
use crate::error::{Error, Reason, Result};
use crate::exchange::{Answer, Body, Call, Exchange, absolute};
use crate::settings::{Endpoint, Settings};
use crate::tls;
use coracle_image::manifest::{Descriptor, media_type};

/// Largest manifest and configuration, bytes.
const DOCUMENT_LIMIT: u64 = 8 << 20;
/// Most pages of tags that are asked for.
const PAGE_LIMIT: usize = 1000;
/// How Docker calls itself at token servers.
const CLIENT_ID: &str = "docker";

/// The digest of what an answer is about.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A manifest as it was found under a tag or digest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// As the registry says.
    pub content_type: String,
    /// Of the bytes.
    pub digest: Digest,
    /// The manifest.
    pub bytes: Vec<u8>,
}

/// A connection to one repository of a registry. It may be used by several tasks at once.
pub struct Registry {
    endpoint: Endpoint,
    /// Name of the repository within the registry; empty for a login.
    repository: String,
    credentials: Credentials,
    actions: &'static str,
    exchange: Exchange,
    authorization: Mutex<Authorization>,
}

#[derive(Default)]
struct Authorization {
    challenges: Vec<Challenge>,
    token: Option<String>,
    /// Other repositories from which blobs are to be had.
    sources: Vec<String>,
    /// What a token server gave for the password.
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    refresh_token: String,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Asks an endpoint how it wants to be spoken to. A mirror gets no credentials. Reads files of certificates.
    ///
    /// # Errors
    /// When it does not answer; [`Error::reached`] says whether it speaks HTTP at all.
    pub async fn connect(
        settings: &Settings,
        endpoint: &Endpoint,
        name: &Named,
        credentials: &Credentials,
        push: bool,
    ) -> Result<Self> {
        let credentials = if endpoint.mirror {
            Credentials::default()
        } else {
            credentials.clone()
        };
        let actions = if push { "pull,push" } else { "pull" };
        Self::open(settings, endpoint, name.path(), credentials, actions).await
    }

    pub(crate) async fn open(
        settings: &Settings,
        endpoint: &Endpoint,
        repository: &str,
        credentials: Credentials,
        actions: &'static str,
    ) -> Result<Self> {
        let proxies = settings.proxies.clone();
        let (settings, target) = (settings.clone(), endpoint.clone());
        let tls = tokio::task::spawn_blocking(move || tls::config(&settings, &target))
            .await
            .map_err(|error| Error::Invalid(format!("a worker failed: {error}")))??;
        let registry = Self {
            endpoint: endpoint.clone(),
            repository: repository.to_owned(),
            credentials,
            actions,
            exchange: Exchange::new(tls, proxies),
            authorization: Mutex::default(),
        };
        let answer = registry
            .exchange
            .send(Call::new(Method::GET, registry.base()))
            .await?;
        let challenges = answer.challenges();
        // Any answer will do: it is HTTP.
        let _ = answer.collect(DOCUMENT_LIMIT).await;
        registry.authorization.lock().await.challenges = challenges;
        Ok(registry)
    }

    /// Where it was found.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The tags of the repository.
    ///
    /// # Errors
    /// As the registry gives.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let mut url = self.url("tags/list");
        let mut tags = Vec::new();
        for _ in 0..PAGE_LIMIT {
            let answer = self.send(Call::new(Method::GET, &url)).await?;
            let answer = answer.accepted().await?;
            let next = answer
                .header(&LINK)
                .and_then(next_page)
                .map(|next| absolute(&url, next));
            let bytes = answer.collect(DOCUMENT_LIMIT).await?;
            let page: Tags = serde_json::from_slice(&bytes)
                .map_err(|error| Error::Invalid(format!("list of tags: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(tags)
    }

    /// The manifest under a tag or digest; with a digest, checked.
    ///
    /// # Errors
    /// As the registry gives; [`Error::Invalid`] when the content has another digest.
    pub async fn manifest(&self, reference: &str) -> Result<Found> {
        let wanted: Option<Digest> = reference.parse().ok();
        // Asked for first, because registries count the other requests (Docker Hub, "Pull usage").
        let known = match wanted {
            Some(digest) => Some(digest),
            None => self.digest_of(reference).await?,
        };
        let place = known.as_ref().map(ToString::to_string);
        let url = self.manifest_url(place.as_deref().unwrap_or(reference));
        let answer = self.send(accepting(Call::new(Method::GET, url))).await?;
        let answer = answer.accepted().await?;
        let content_type = answer.header(&CONTENT_TYPE).unwrap_or_default().to_owned();
        let bytes = answer.collect(DOCUMENT_LIMIT).await?;
        let digest = Digest::of(&bytes);
        if let Some(known) = known
            && known != digest
        {
            return Err(Error::Invalid(format!(
                "manifest verification failed for digest {known}"
            )));
        }
        Ok(Found {
            content_type,
            digest,
            bytes,
        })
    }

    /// A small blob, checked.
    ///
    /// # Errors
    /// As the registry gives; [`Error::Invalid`] when the content has another digest.
    pub async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let call = Call::new(Method::GET, self.blob_url(&descriptor.digest));
        let answer = self.send(call).await?.accepted().await?;
        let bytes = answer.collect(DOCUMENT_LIMIT).await?;
        if Digest::of(&bytes) != descriptor.digest {
            return Err(Error::Invalid(format!(
                "image config verification failed for digest {}",
                descriptor.digest
            )));
        }
        Ok(bytes)
    }

    /// Puts a manifest under a tag.
    ///
    /// # Errors
    /// As the registry gives.
    pub async fn put_manifest(&self, tag: &str, media_type: &str, bytes: Vec<u8>) -> Result<()> {
        let call = Call::new(Method::PUT, self.manifest_url(tag))
            .header(CONTENT_TYPE, media_type)
            .body(Body::Bytes(bytes.into()));
        let answer = self.send(call).await?.accepted().await?;
        answer.collect(DOCUMENT_LIMIT).await?;
        Ok(())
    }

    /// What a token server gave for the password, to be used instead of it.
    pub(crate) async fn refresh_token(&self) -> Option<String> {
        self.authorization.lock().await.refresh_token.clone()
    }

    /// `https://registry.example/v2/`
    pub(crate) fn base(&self) -> String {
        format!("{}/v2/", self.endpoint.url())
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        format!("{}{}/{rest}", self.base(), self.repository)
    }

    pub(crate) fn blob_url(&self, digest: &Digest) -> String {
        self.url(&format!("blobs/{digest}"))
    }

    fn manifest_url(&self, reference: &str) -> String {
        self.url(&format!("manifests/{reference}"))
    }

    /// What a tag stands for; `None` when the registry does not tell by `HEAD`.
    async fn digest_of(&self, tag: &str) -> Result<Option<Digest>> {
        let call = accepting(Call::new(Method::HEAD, self.manifest_url(tag)));
        let answer = self.send(call).await?;
        let digest = answer
            .header(&CONTENT_DIGEST)
            .and_then(|text| text.parse().ok());
        let good = answer.status().is_success();
        answer.collect(DOCUMENT_LIMIT).await?;
        // The error is in the body of `GET`.
        Ok(digest.filter(|_| good))
    }

    /// Asks for the right to read another repository of the same registry as well.
    pub(crate) async fn read_also(&self, repository: &str) {
        let mut state = self.authorization.lock().await;
        if !state.sources.iter().any(|source| source == repository) {
            state.sources.push(repository.to_owned());
            state.token = None;
        }
    }

    /// Sends a request with what the registry wants to see. A token that has expired is renewed.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer<'_>> {
        let (value, renewed) = self.authorize(&call).await?;
        let answer = self.exchange.send(with(&call, value)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !self.credentials.registrytoken.is_empty()
        {
            return Ok(answer);
        }
        let challenges = answer.challenges();
        {
            let mut state = self.authorization.lock().await;
            // A registry may let the first question pass and ask for a name only now.
            let news = state.challenges.is_empty() && !challenges.is_empty();
            if news {
                state.challenges = challenges;
            } else if renewed || state.token.is_none() {
                return Ok(answer);
            }
            state.token = None;
        }
        let (value, _) = self.authorize(&call).await?;
        self.exchange.send(with(&call, value)).await
    }

    /// The `Authorization` header, and whether it is of a new token.
    async fn authorize(&self, call: &Call) -> Result<(Option<String>, bool)> {
        let mut state = self.authorization.lock().await;
        let has = |scheme: &str| state.challenges.iter().position(|c| c.scheme == scheme);
        // Where a registry sends us for an upload may be another host, which is no business of our credentials.
        let foreign = !call.url.starts_with(&format!("{}/", self.endpoint.url()));
        if foreign || state.challenges.is_empty() {
            return Ok((None, false));
        }
        if let Some(at) = has("bearer") {
            if !self.credentials.registrytoken.is_empty() {
                let value = format!("Bearer {}", self.credentials.registrytoken);
                return Ok((Some(value), false));
            }
            let renewed = state.token.is_none();
            if renewed {
                let challenge = state.challenges[at].clone();
                let token = self.fetch_token(&challenge, &state.sources).await;
                let token = token.map_err(|error| {
                    call.failed(match error {
                        Error::Refused(refusal) => Reason::Refused(refusal),
                        other => Reason::Transport(other.to_string()),
                    })
                })?;
                if !token.refresh_token.is_empty() {
                    state.refresh_token = Some(token.refresh_token);
                }
                let text = [token.token, token.access_token];
                state.token = text.into_iter().find(|text| !text.is_empty());
            }
            let value = state.token.as_ref().map(|token| format!("Bearer {token}"));
            if value.is_none() {
                let text = "authorization server did not include a token in the response";
                return Err(call.failed(Reason::Transport(text.to_owned())));
            }
            return Ok((value, renewed));
        }
        if has("basic").is_some() {
            return match self.credentials.basic() {
                Some(value) => Ok((Some(value), false)),
                None => Err(call.failed(Reason::NoCredentials)),
            };
        }
        Ok((None, false))
    }

    /// Asks the token server (distribution, "Token Authentication Specification" and its OAuth2 variant).
    async fn fetch_token(&self, challenge: &Challenge, sources: &[String]) -> Result<Token> {
        let Some(realm) = challenge.get("realm") else {
            return Err(Error::Invalid(
                "no realm specified for token auth challenge".into(),
            ));
        };
        let mut scopes = Vec::new();
        if !self.repository.is_empty() {
            scopes.push(format!("repository:{}:{}", self.repository, self.actions));
            scopes.extend(
                sources
                    .iter()
                    .map(|source| format!("repository:{source}:pull")),
            );
        }
        let service = challenge.get("service").unwrap_or_default();
        let mut parameters = vec![("service", service), ("client_id", CLIENT_ID)];
        let joined = scopes.join(" ");
        if !self.credentials.identitytoken.is_empty() {
            let mut form = parameters.clone();
            form.push(("scope", &joined));
            form.push(("grant_type", "refresh_token"));
            form.push(("refresh_token", &self.credentials.identitytoken));
            let call = Call::new(Method::POST, realm)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::Bytes(encode(&form).into()));
            let answer = self.exchange.send(call).await?;
            // Servers without OAuth2 still have the password.
            let unknown = matches!(
                answer.status(),
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
            );
            if !unknown || self.credentials.username.is_empty() {
                return token(answer).await;
            }
        }
        parameters.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
        if !self.credentials.username.is_empty() {
            parameters.push(("account", &self.credentials.username));
        }
        if self.repository.is_empty() {
            parameters.push(("offline_token", "true"));
        }
        let separator = if realm.contains('?') { '&' } else { '?' };
        let call = Call::new(
            Method::GET,
            format!("{realm}{separator}{}", encode(&parameters)),
        );
        token(
            self.exchange
                .send(with(&call, self.credentials.basic()))
                .await?,
        )
        .await
    }
}

async fn token(answer: Answer<'_>) -> Result<Token> {
    let bytes = answer.accepted().await?.collect(DOCUMENT_LIMIT).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Invalid(format!("unable to decode token response: {error}")))
}

fn with(call: &Call, authorization: Option<String>) -> Call {
    let call = call.clone();
    match authorization {
        Some(value) => call.header(AUTHORIZATION, value),
        None => call,
    }
}

/// All that is understood, and the former format, which is then refused by name.
fn accepting(call: Call) -> Call {
    call.header(
        ACCEPT,
        [
            media_type::DOCKER_MANIFEST,
            media_type::DOCKER_LIST,
            media_type::OCI_MANIFEST,
            media_type::OCI_INDEX,
            media_type::SCHEMA1_SIGNED,
        ]
        .join(", "),
    )
}

fn encode(parameters: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        let separator = if out.is_empty() { "" } else { "&" };
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        // Writing to a string cannot fail.
        let _ = write!(out, "{separator}{name}={value}");
    }
    out
}

/// The target of `<…>; rel="next"` (RFC 8288).
fn next_page(header: &str) -> Option<&str> {
    let (target, rest) = header.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then_some(target)
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("endpoint", &self.endpoint)
            .field("repository", &self.repository)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_and_pages_found() {
        assert_eq!(
            encode(&[
                ("a", "x y&z"),
                ("b", ""),
                ("scope", "repository:a/b:pull,push")
            ]),
            "a=x%20y%26z&scope=repository%3Aa%2Fb%3Apull%2Cpush"
        );
        assert_eq!(
            next_page(r#"</v2/x/tags/list?last=b&n=2>; rel="next""#),
            Some("/v2/x/tags/list?last=b&n=2")
        );
        assert_eq!(next_page("</x>; rel=\"prev\""), None);
        assert_eq!(next_page("x"), None);
    }
}
