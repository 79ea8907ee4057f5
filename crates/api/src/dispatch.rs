//! From a request to its answer: version, route, handler, error, and the headers that every answer has.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use coracle_engine::Engine;
use futures_util::FutureExt;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, SERVER};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri};

use crate::answer::{Answer, refusal};
use crate::body::{self, RequestBody, Unread};
use crate::call::Call;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::route;
use crate::table::ROUTES;
use crate::version::{self, ApiVersion};

/// Headers of every answer; clients read the version of the API and the operating system out of any (Docker, `_ping`).
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        SERVER,
        HeaderValue::from_static(concat!("Coracle/", env!("CARGO_PKG_VERSION"), " (linux)")),
    ),
    (
        HeaderName::from_static("api-version"),
        HeaderValue::from_static("1.53"),
    ),
    (
        HeaderName::from_static("docker-experimental"),
        HeaderValue::from_static("false"),
    ),
    (
        HeaderName::from_static("ostype"),
        HeaderValue::from_static("linux"),
    ),
];

/// What a request says, whoever read it.
pub struct Incoming {
    /// Method.
    pub method: Method,
    /// Target.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: RequestBody,
}

impl Incoming {
    /// A request of hyper's.
    pub fn new(parts: Parts, body: RequestBody) -> Self {
        Self {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
        }
    }
}

/// Answers a request. Errors and panics become answers too.
pub async fn answer(engine: Arc<Engine>, request: Incoming) -> Answer {
    let line = format!("{} {}", request.method, request.uri);
    let body = Unread::new(request.body);
    let outcome = AssertUnwindSafe(call(
        engine,
        request.method,
        request.uri,
        request.headers,
        body.clone(),
    ))
    .catch_unwind()
    .await;
    let answer = outcome.unwrap_or_else(|_| {
        Err(Error::Internal(
            "a panic in the API; see the engine's log".into(),
        ))
    });
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            // A client that cannot get rid of its body does not read the answer.
            if let Some(body) = body.take() {
                body::discard(body).await;
            }
            if error.status() == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::warn!("{line}: {error}");
            } else {
                tracing::debug!("{line}: {error}");
            }
            Answer::Response(refusal(&error))
        }
    };
    with_headers(answer)
}

async fn call(
    engine: Arc<Engine>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Unread,
) -> Result<Answer> {
    let (version, path) = version::split(uri.path());
    let version = version.map_or(Ok(ApiVersion::NEWEST), ApiVersion::negotiate)?;
    let (route, params) = route::find(ROUTES, &method, path).ok_or_else(Error::no_page)?;
    let query = Query::parse(uri.query().unwrap_or_default());
    (route.handler)(Call {
        engine,
        version,
        params,
        query,
        headers,
        body,
    })
    .await
}

fn with_headers(mut answer: Answer) -> Answer {
    if let Answer::Response(response) = &mut answer {
        response.headers_mut().extend(HEADERS);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announced_version_is_the_newest() {
        assert_eq!(HEADERS[1].1, ApiVersion::NEWEST.to_string());
    }
}
