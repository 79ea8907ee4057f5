//! `docker login`: are the credentials good?

use hyper::{Method, StatusCode};

use crate::credentials::Credentials;
use crate::error::{Code, Error, Reason, Refusal, Result};
use crate::exchange::Call;
use crate::registry::Registry;
use crate::settings::{Settings, hostname};

/// The registry that is meant when a client names none.
const DEFAULT_SERVER: &str = "docker.io";

/// Shows credentials to their registry (`serveraddress`); gives the token that may be used instead of the password, if
/// the registry has such.
///
/// # Errors
/// Docker's texts.
pub async fn login(settings: &Settings, credentials: &Credentials) -> Result<Option<String>> {
    let server = hostname(&credentials.serveraddress);
    let server = if server.is_empty() {
        DEFAULT_SERVER
    } else {
        &server
    };
    let mut last = None;
    for endpoint in settings.endpoints(server, false) {
        let tried = async {
            let registry = Registry::open(settings, &endpoint, "", credentials.clone(), "").await?;
            let url = registry.base();
            let answer = registry.send(Call::new(Method::GET, &url)).await?;
            let status = answer.status();
            if status == StatusCode::OK {
                return Ok(registry.refresh_token().await);
            }
            Err(Error::Invalid(format!(
                "login attempt to {url} failed with status: {status}"
            )))
        };
        match tried.await {
            Err(error) if !is_unauthorized(&error) => last = Some(error),
            other => return other,
        }
    }
    // There is always an endpoint.
    Err(last.unwrap_or_else(|| Error::Invalid(format!("no endpoints found for {server}"))))
}

/// Whether the registry or its token server knows the user and says no.
fn is_unauthorized(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused(Refusal {
            code: Code::Unauthorized,
            ..
        }) | Error::Request {
            reason: Reason::Refused(Refusal {
                code: Code::Unauthorized,
                ..
            }),
            ..
        }
    )
}
