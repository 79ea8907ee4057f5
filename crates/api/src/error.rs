//! Errors as clients see them: an HTTP status and `{"message": …}` (Docker API, "Errors").

use coracle_engine::Error as EngineError;
use hyper::StatusCode;

/// Result of a route.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the API; its text is what the client sees.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong in itself.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such route or object.
    #[error("{0}")]
    NotFound(String),
    /// The request does not fit the present state.
    #[error("{0}")]
    Conflict(String),
    /// The peer may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// A body is larger than any sensible one of its kind.
    #[error("request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Something that this engine never does.
    #[error("{0}")]
    NotImplemented(String),
    /// Something that needs a swarm.
    #[error("{0}")]
    Unavailable(String),
    /// The engine refuses or fails.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The image store refuses or fails.
    #[error(transparent)]
    Image(#[from] coracle_image::Error),
    /// Something that should not happen; the text says what.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// What Docker answers to a path or method that it does not know.
    pub fn no_page() -> Self {
        Self::NotFound("page not found".into())
    }

    /// The status that goes with it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Engine(error) => engine_status(error),
            Self::Image(error) => image_status(error),
        }
    }
}

fn engine_status(error: &EngineError) -> StatusCode {
    match error {
        EngineError::NoSuchContainer(_)
        | EngineError::NoSuchImage(_)
        | EngineError::NoSuchExec(_)
        | EngineError::NoSuchVolume(_)
        | EngineError::NoSuchNetwork(_)
        | EngineError::MissingForStart(_)
        | EngineError::NoSuchPath { .. }
        | EngineError::NotInRegistry(_) => StatusCode::NOT_FOUND,
        EngineError::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        EngineError::AmbiguousContainer(_) | EngineError::Invalid(_) => StatusCode::BAD_REQUEST,
        EngineError::Conflict(_) => StatusCode::CONFLICT,
        EngineError::Forbidden(_) => StatusCode::FORBIDDEN,
        EngineError::NotModified => StatusCode::NOT_MODIFIED,
        EngineError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        // Docker: a command that cannot be run is the client's fault, any other failure to start is the engine's.
        EngineError::Start {
            exit_code: 126 | 127,
            ..
        } => StatusCode::BAD_REQUEST,
        EngineError::Image(error) => image_status(error),
        EngineError::Start { .. }
        | EngineError::Runtime(_)
        | EngineError::Io { .. }
        | EngineError::Registry(_)
        | EngineError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn image_status(error: &coracle_image::Error) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_dockers_status() {
        let start = |exit_code| EngineError::Start {
            message: "m".into(),
            exit_code,
        };
        for (error, status, text) in [
            (Error::no_page(), 404, "page not found"),
            (Error::BadRequest("m".into()), 400, "m"),
            (Error::Unavailable("m".into()), 503, "m"),
            (Error::NotImplemented("m".into()), 501, "m"),
            (
                Error::TooLarge { limit: 5 },
                413,
                "request body is larger than 5 bytes",
            ),
            (
                EngineError::NoSuchContainer("x".into()).into(),
                404,
                "No such container: x",
            ),
            (
                EngineError::AmbiguousContainer("x".into()).into(),
                400,
                "Multiple IDs found with provided prefix: x",
            ),
            (
                EngineError::not_running("x").into(),
                409,
                "container x is not running",
            ),
            (EngineError::NotModified.into(), 304, "not modified"),
            (start(127).into(), 400, "m"),
            (start(126).into(), 400, "m"),
            (start(128).into(), 500, "m"),
            (EngineError::Internal("m".into()).into(), 500, "m"),
            (
                coracle_image::Error::NotFound("x:latest".into()).into(),
                404,
                "No such image: x:latest",
            ),
        ] {
            assert_eq!(
                (error.status().as_u16(), error.to_string().as_str()),
                (status, text)
            );
        }
    }
}
