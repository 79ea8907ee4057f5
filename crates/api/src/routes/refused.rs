//! What System Docker does not do. Clients get Docker's own kind of refusal, and empty lists where they expect lists.

use hyper::StatusCode;
use serde_json::json;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::{Error, Result};

/// Everything that needs a swarm manager: swarm, nodes, services, tasks, secrets, configs.
pub async fn swarm(_: Call) -> Result<Answer> {
    Err(Error::Unavailable(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm \
         and try again."
            .into(),
    ))
}

/// `POST /swarm/leave`
pub async fn swarm_leave(_: Call) -> Result<Answer> {
    Err(Error::Unavailable(
        "This node is not part of a swarm".into(),
    ))
}

/// `POST /swarm/init` and `/swarm/join`
pub async fn swarm_join(_: Call) -> Result<Answer> {
    Err(not_here("swarm mode"))
}

/// `GET /plugins`
pub async fn plugins(_: Call) -> Result<Answer> {
    Answer::json(&json!([]))
}

/// `GET /plugins/{name}/json`: there is none, so that `docker inspect` goes on to say what it did not find.
pub async fn no_plugin(call: Call) -> Result<Answer> {
    let text = format!("plugin \"{}\" not found", call.target());
    Err(Error::NotFound(text))
}

/// Every other call about plugins.
pub async fn plugin(_: Call) -> Result<Answer> {
    Err(not_here("plugins"))
}

/// `POST /build`, `/session` and `/grpc`
pub async fn build(_: Call) -> Result<Answer> {
    Err(not_here("building images"))
}

/// `POST /build/prune`: there is no cache, so that `docker system prune` works.
pub async fn build_prune(_: Call) -> Result<Answer> {
    Answer::json_as(
        StatusCode::OK,
        &json!({"CachesDeleted": null, "SpaceReclaimed": 0}),
    )
}

/// `GET /images/search`
pub async fn search(_: Call) -> Result<Answer> {
    Err(not_here("searching registries"))
}

/// Checkpoints.
pub async fn checkpoint(_: Call) -> Result<Answer> {
    Err(not_here("checkpoints"))
}

fn not_here(what: &str) -> Error {
    Error::NotImplemented(format!(
        "System Docker does not support {what}; use User Docker (the docker command)"
    ))
}
