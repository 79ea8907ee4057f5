//! `wait-for-docker` (inventory E3-007): for scripts that need User Docker.

use std::time::Duration;

use crate::api::Api;
use crate::error::Error;
use crate::paths::DOCKER_SOCKET;

/// As upstream.
const LIMIT: Duration = Duration::from_secs(5 * 60);
/// Between tries while nobody listens. Only then: on the socket of PID 1 the first try waits for the answer.
const PAUSE: Duration = Duration::from_millis(200);

/// Returns when User Docker answers.
///
/// # Errors
/// It has not within five minutes.
pub fn run() -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("start"))?
        .block_on(wait(&Api::new(DOCKER_SOCKET), LIMIT))
}

async fn wait(api: &Api, limit: Duration) -> Result<(), Error> {
    let mut last = None;
    let answered = tokio::time::timeout(limit, async {
        while let Err(error) = api.ping().await {
            last = Some(error);
            tokio::time::sleep(PAUSE).await;
        }
    });
    match answered.await {
        Ok(()) => Ok(()),
        Err(_) => Err(last.unwrap_or_else(|| Error::NoAnswer {
            socket: DOCKER_SOCKET.into(),
            reason: format!("it has not started within {} s", limit.as_secs()),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_up_with_the_last_reason() {
        let api = Api::new("/nonexistent.sock");
        let error = wait(&api, Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}
