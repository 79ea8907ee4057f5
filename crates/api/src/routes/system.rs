//! The engine itself: ping, version, info.

use coracle_engine::{Status, time};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};

use crate::answer::{self, Answer};
use crate::body;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::machine;
use crate::render::system::{self, Counts, Machine};

/// `GET` and `HEAD /_ping`
pub async fn ping(_: Call) -> Result<Answer> {
    let mut response = answer::response(
        StatusCode::OK,
        Some("text/plain; charset=utf-8"),
        body::full("OK"),
    );
    response.headers_mut().extend([
        (
            CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-store, must-revalidate"),
        ),
        (PRAGMA, HeaderValue::from_static("no-cache")),
        // Makes `docker build` send its request here, where it is refused with a reason.
        (
            HeaderName::from_static("builder-version"),
            HeaderValue::from_static("1"),
        ),
        (
            HeaderName::from_static("swarm"),
            HeaderValue::from_static("inactive"),
        ),
    ]);
    Ok(Answer::Response(response))
}

/// `GET /version`
pub async fn version(_: Call) -> Result<Answer> {
    Answer::json(&system::version(&machine().await?))
}

/// `GET /info`
pub async fn info(call: Call) -> Result<Answer> {
    let engine = &call.engine;
    let mut counts = Counts {
        images: engine.images().await?.len(),
        listeners: engine.events().listeners(),
        descriptors: machine::descriptors(),
        log_driver: engine.options().settings.log_driver().to_owned(),
        ..Counts::default()
    };
    for container in engine.all() {
        match container.data().state.status {
            Status::Running | Status::Restarting => counts.running += 1,
            Status::Paused => counts.paused += 1,
            Status::Created | Status::Exited | Status::Dead => counts.stopped += 1,
        }
    }
    let root = engine.options().root.display().to_string();
    Answer::json(&system::info(
        &machine().await?,
        &counts,
        &engine.registries(),
        engine.id(),
        &root,
        &time::now(),
    ))
}

async fn machine() -> Result<Machine> {
    tokio::task::spawn_blocking(machine::read)
        .await
        .map_err(|error| Error::Internal(format!("read the machine: {error}")))
}
