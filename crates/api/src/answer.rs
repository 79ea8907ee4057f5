//! What a route gives back.

use std::pin::Pin;

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::body::{self, ResponseBody};
use crate::connection::Connection;
use crate::error::{Error, Result};

/// Media type of JSON.
pub const JSON: &str = "application/json";
/// Media type of tar archives.
pub const TAR: &str = "application/x-tar";

/// The answer to a request.
pub enum Answer {
    /// An ordinary one.
    Response(Response<ResponseBody>),
    /// The connection leaves HTTP and carries a process's streams.
    Hijack(Hijack),
}

/// What runs on a hijacked connection.
pub type Session = Box<dyn FnOnce(Connection) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A wish to take the connection over.
pub struct Hijack {
    /// Media type of the output.
    pub content_type: &'static str,
    /// Begins when the client has got the head of the answer.
    pub session: Session,
}

impl Answer {
    /// A status without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self::Response(response(status, None, body::empty()))
    }

    /// `200 OK` with a JSON document.
    ///
    /// # Errors
    /// When `value` cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self> {
        Self::json_as(StatusCode::OK, value)
    }

    /// A JSON document with another status.
    ///
    /// # Errors
    /// When `value` cannot be written as JSON.
    pub fn json_as(status: StatusCode, value: &impl Serialize) -> Result<Self> {
        let mut text = serde_json::to_vec(value)
            .map_err(|error| Error::Internal(format!("write the answer as JSON: {error}")))?;
        text.push(b'\n');
        Ok(Self::Response(response(
            status,
            Some(JSON),
            body::full(text),
        )))
    }

    /// `200 OK` with a body that is sent as it comes.
    pub fn stream(content_type: &'static str, body: ResponseBody) -> Self {
        Self::Response(response(StatusCode::OK, Some(content_type), body))
    }

    /// Adds a header to an ordinary answer.
    pub fn with_header(mut self, name: &'static str, value: HeaderValue) -> Self {
        if let Self::Response(response) = &mut self {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// The answer of [`Hijack`].
    pub fn hijack<F>(
        content_type: &'static str,
        session: impl FnOnce(Connection) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::Hijack(Hijack {
            content_type,
            session: Box::new(|connection| Box::pin(session(connection))),
        })
    }
}

/// An error as an answer. `304 Not Modified` has no body.
pub fn refusal(error: &Error) -> Response<ResponseBody> {
    let status = error.status();
    if status == StatusCode::NOT_MODIFIED {
        return response(status, None, body::empty());
    }
    let message = json!({ "message": error.to_string() });
    response(status, Some(JSON), body::full(format!("{message}\n")))
}

/// An answer with a status, perhaps a media type, and a body.
pub fn response(
    status: StatusCode,
    content_type: Option<&'static str>,
    body: ResponseBody,
) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}
