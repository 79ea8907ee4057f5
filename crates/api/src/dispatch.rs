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
use crate::connection::Record;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::route;
use crate::table::ROUTES;
use crate::version::{self, ApiVersion};

/// Characters of a request line in the log.
const LINE: usize = 300;
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
    /// Of its connection, if that can be handed over.
    pub record: Option<Arc<Record>>,
}

impl Incoming {
    /// A request of hyper's.
    pub fn new(parts: Parts, body: RequestBody, record: Arc<Record>) -> Self {
        Self {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
            record: Some(record),
        }
    }
}

/// Answers a request. Errors and panics become answers too.
pub async fn answer(engine: Arc<Engine>, request: Incoming) -> Answer {
    let line = shortened(format!("{} {}", request.method, request.uri));
    let body = Unread::new(request.body);
    let mut busy = None;
    let begin = || busy = request.record.map(|record| record.begin());
    let outcome = AssertUnwindSafe(call(
        engine,
        request.method,
        request.uri,
        request.headers,
        body.clone(),
        begin,
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
    let answer = match (answer, busy) {
        (Answer::Response(response), Some(busy)) => {
            Answer::Response(response.map(|body| body::busy(busy, body)))
        }
        (answer, _) => answer,
    };
    with_headers(answer)
}

/// As much of a request line as anybody reads in a log; hyper takes 64 KiB.
fn shortened(mut line: String) -> String {
    if let Some((end, _)) = line.char_indices().nth(LINE) {
        line.truncate(end);
        line.push('…');
    }
    line
}

async fn call(
    engine: Arc<Engine>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Unread,
    begin: impl FnOnce(),
) -> Result<Answer> {
    let (version, path) = version::split(uri.path());
    let version = version.map_or(Ok(ApiVersion::NEWEST), ApiVersion::negotiate)?;
    let (route, params) = route::find(ROUTES, &method, path).ok_or_else(Error::no_page)?;
    let query = Query::parse(uri.query().unwrap_or_default());
    let work = engine.work().clone();
    let waits = waits(route.name, &query);
    let task = match waits {
        Waits::No => Some(work.begin(format!("{method} {}", uri.path())).await),
        Waits::WithoutEnd | Waits::ForHandover => None,
    };
    // From here on the request is ours; before, a successor may still read it.
    begin();
    let answer = (route.handler)(Call {
        engine,
        version,
        params,
        query,
        headers,
        body,
        task: task.clone(),
    })
    .await?;
    Ok(match (answer, waits, task) {
        (Answer::Response(response), _, Some(task)) => {
            Answer::Response(response.map(|body| body::during(task, body)))
        }
        (Answer::Response(response), Waits::WithoutEnd, _) => {
            Answer::Response(response.map(|body| body::until_handover(&work, body)))
        }
        (answer, _, _) => answer,
    })
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Waits {
    /// Nothing but its own work: a hand-over of the engine waits for it.
    No,
    /// For what containers do: its answer ends with a hand-over.
    WithoutEnd,
    /// For the hand-over itself.
    ForHandover,
}

fn waits(route: &str, query: &Query) -> Waits {
    match route {
        "coracle::reload" => Waits::ForHandover,
        "events::events" | "lifecycle::wait" | "attach::attach" => Waits::WithoutEnd,
        "logs::logs" if query.flag("follow") => Waits::WithoutEnd,
        "processes::stats" if query.flag_or("stream", true) => Waits::WithoutEnd,
        _ => Waits::No,
    }
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
    fn only_some_requests_wait_without_end() {
        for (route, query, expected) in [
            ("events::events", "", Waits::WithoutEnd),
            ("lifecycle::wait", "", Waits::WithoutEnd),
            ("logs::logs", "stdout=1", Waits::No),
            ("logs::logs", "follow=1", Waits::WithoutEnd),
            ("processes::stats", "", Waits::WithoutEnd),
            ("processes::stats", "stream=0", Waits::No),
            ("coracle::reload", "", Waits::ForHandover),
            ("exec::start", "", Waits::No),
        ] {
            assert!(ROUTES.iter().any(|known| known.name == route), "{route}");
            assert_eq!(
                waits(route, &Query::parse(query)),
                expected,
                "{route} {query}"
            );
        }
    }

    #[test]
    fn request_lines_are_logged_in_one_piece_or_shortened() {
        let long = "é".repeat(LINE + 1);
        for (line, expected) in [
            ("GET /_ping", "GET /_ping".to_owned()),
            (&long[..LINE * 2], "é".repeat(LINE)),
            (&long, format!("{}…", "é".repeat(LINE))),
        ] {
            assert_eq!(shortened(line.to_owned()), expected);
        }
    }

    #[test]
    fn the_announced_version_is_the_newest() {
        assert_eq!(HEADERS[1].1, ApiVersion::NEWEST.to_string());
    }
}
