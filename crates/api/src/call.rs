//! One request, parsed as far as all routes need it.

use std::sync::Arc;

use coracle_engine::{Engine, Task};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::answer::JSON;
use crate::body::{self, JSON_LIMIT, RequestBody, Unread};
use crate::error::{Error, Result};
use crate::json;
use crate::query::Query;
use crate::version::ApiVersion;

/// One request.
pub struct Call {
    /// System Docker.
    pub engine: Arc<Engine>,
    /// The version that the client speaks.
    pub version: ApiVersion,
    /// The path's parameters by their names in the route's pattern.
    pub params: Vec<(&'static str, String)>,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Unread,
    /// What is being done for it: what goes on after the answer has to hold it.
    pub task: Option<Task>,
}

impl Call {
    /// The path's only parameter: the object that the call is about.
    pub fn target(&self) -> &str {
        self.params.first().map_or("", |(_, value)| value.as_str())
    }

    /// Takes the body, leaving none.
    pub fn take_body(&mut self) -> RequestBody {
        self.body.take().unwrap_or_else(|| {
            http_body_util::Empty::new()
                .map_err(|never| match never {})
                .boxed_unsync()
        })
    }

    /// Reads a JSON body; an empty one gives the default.
    ///
    /// # Errors
    /// Docker's texts for another media type, and for what is no JSON of this form.
    pub async fn json<T: DeserializeOwned + Default>(&mut self) -> Result<T> {
        let bytes = body::read(self.take_body(), JSON_LIMIT).await?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        let content_type = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        parse_json(content_type, &bytes)
    }
}

pub(crate) fn parse_json<T: DeserializeOwned>(content_type: &str, bytes: &[u8]) -> Result<T> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(JSON) {
        return Err(Error::BadRequest(format!(
            "unsupported Content-Type header ({content_type}): must be 'application/json'"
        )));
    }
    json::parse(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => {
            Error::BadRequest("invalid JSON: got EOF while reading request body".into())
        }
        _ => Error::BadRequest(format!("invalid JSON: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_and_say_so() {
        for (content_type, text, expected) in [
            ("application/json", "[1]", Ok(vec![1])),
            ("Application/JSON; charset=utf-8", "[1]", Ok(vec![1])),
            (
                "text/plain",
                "[1]",
                Err("unsupported Content-Type header (text/plain): must be 'application/json'"),
            ),
            (
                "",
                "[1]",
                Err("unsupported Content-Type header (): must be 'application/json'"),
            ),
            (
                "application/json",
                "[1",
                Err("invalid JSON: got EOF while reading request body"),
            ),
            (
                "application/json",
                "[1] x",
                Err("invalid JSON: trailing characters at line 1 column 5"),
            ),
        ] {
            let parsed = parse_json::<Vec<i32>>(content_type, text.as_bytes())
                .map_err(|error| error.to_string());
            assert_eq!(
                parsed,
                expected.map_err(str::to_owned),
                "{content_type} {text}"
            );
        }
    }
}
