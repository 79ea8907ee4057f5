//! Volumes.

use bollard_stubs::models::VolumeCreateRequest;
use coracle_engine::{Volume, VolumeRequest};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Result;
use crate::filters::Filters;
use crate::render;
use crate::version::ApiVersion;

/// `GET /volumes`
pub async fn list(call: Call) -> Result<Answer> {
    let filters = call
        .query
        .filters(&["dangling", "driver", "label", "name"])?;
    let dangling = filters.flag("dangling")?;
    let volumes: Vec<Value> = call
        .engine
        .list_volumes()
        .iter()
        .filter(|(volume, users)| {
            dangling.is_none_or(|wanted| wanted == (*users == 0)) && accepts(&filters, volume)
        })
        .map(|(volume, _)| render::volume::volume(volume, None))
        .collect();
    Answer::json(&json!({"Volumes": volumes, "Warnings": null}))
}

fn accepts(filters: &Filters, volume: &Volume) -> bool {
    let labels = volume.labels.clone().into_iter().collect();
    filters.any("name", |part| volume.name.contains(part))
        && filters.is("driver", "local")
        && filters.has_labels("label", &labels)
        && filters.lacks_labels("label!", &labels)
}

/// `POST /volumes/create`
pub async fn create(mut call: Call) -> Result<Answer> {
    let body: VolumeCreateRequest = call.json().await?;
    let request = VolumeRequest {
        name: body.name.unwrap_or_default(),
        driver: body.driver.unwrap_or_default(),
        options: body.driver_opts.unwrap_or_default().into_iter().collect(),
        labels: body.labels.unwrap_or_default().into_iter().collect(),
    };
    let volume = call.engine.create_volume(request).await?;
    Answer::json_as(StatusCode::CREATED, &render::volume::volume(&volume, None))
}

/// `GET /volumes/{name}`
pub async fn inspect(call: Call) -> Result<Answer> {
    Answer::json(&render::volume::volume(
        &call.engine.volume(call.target())?,
        None,
    ))
}

/// `DELETE /volumes/{name}`
pub async fn remove(call: Call) -> Result<Answer> {
    call.engine
        .remove_volume(call.target(), call.query.flag("force"))
        .await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

/// `POST /volumes/prune`. Since API 1.42 only volumes that were made for one container, unless `all` is asked for.
pub async fn prune(call: Call) -> Result<Answer> {
    let filters = call.query.filters(&["all", "label", "label!"])?;
    let all = filters
        .flag("all")?
        .unwrap_or(call.version < ApiVersion::new(1, 42));
    let accept = |volume: &Volume| (all || volume.is_anonymous()) && accepts(&filters, volume);
    let (names, bytes) = call.engine.prune_volumes(accept).await;
    Answer::json(&json!({"VolumesDeleted": names, "SpaceReclaimed": bytes}))
}
