//! `POST /commit`

use bollard_stubs::models::ContainerConfig;
use coracle_engine::CommitRequest;
use hyper::StatusCode;
use serde_json::json;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Result;

/// `POST /commit`. Since API 1.13 the container is frozen meanwhile unless the client says no.
pub async fn commit(mut call: Call) -> Result<Answer> {
    let config: Option<ContainerConfig> = call.json().await?;
    let query = &call.query;
    let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let request = CommitRequest {
        repository: text("repo"),
        tag: text("tag"),
        comment: text("comment"),
        author: text("author"),
        pause: query.flag_or("pause", true),
        changes: query.all("changes").map(str::to_owned).collect(),
        config: config.unwrap_or_default(),
    };
    let id = call.engine.commit(&text("container"), request).await?;
    Answer::json_as(StatusCode::CREATED, &json!({ "Id": id }))
}
