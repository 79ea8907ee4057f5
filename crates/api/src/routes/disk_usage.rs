//! `GET /system/df`

use std::collections::HashSet;
use std::sync::Arc;

use coracle_engine::Engine;
use jiff::Timestamp;

use super::containers::listed;
use crate::answer::Answer;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::image_filter::ImageNames;
use crate::render;
use crate::render::disk_usage::{DiskUsage, Usage, disk_usage, layers_size};
use crate::version::ApiVersion;

/// What `type` may ask for.
const TYPES: [&str; 4] = ["container", "image", "volume", "build-cache"];

/// `GET /system/df`
pub async fn df(call: Call) -> Result<Answer> {
    let asked: HashSet<&str> = call.query.all("type").collect();
    if let Some(unknown) = asked.iter().find(|kind| !TYPES.contains(kind)) {
        return Err(Error::BadRequest(format!("unknown object type: {unknown}")));
    }
    let wanted = |kind: &str| asked.is_empty() || asked.contains(kind);
    let engine = &call.engine;
    let usage = DiskUsage {
        images: if wanted("image") {
            Some(images(engine, call.version).await?)
        } else {
            None
        },
        containers: if wanted("container") {
            Some(containers(engine).await?)
        } else {
            None
        },
        volumes: if wanted("volume") {
            Some(volumes(engine).await?)
        } else {
            None
        },
        build_cache: wanted("build-cache"),
    };
    Answer::json(&disk_usage(&usage, call.query.flag("verbose")))
}

async fn images(engine: &Arc<Engine>, version: ApiVersion) -> Result<Usage> {
    let images = engine.images().await?;
    let mut usage = Usage::default();
    for image in &images {
        let users = engine.image_users(&image.id.to_string());
        usage.add(
            render::image::summary(image, users, 0, version),
            image.size,
            users > 0,
        );
    }
    usage.total = layers_size(&images);
    Ok(usage)
}

async fn containers(engine: &Arc<Engine>) -> Result<Usage> {
    let names = ImageNames::new(&engine.images().await?);
    let now = Timestamp::now();
    let mut usage = Usage::default();
    for container in engine.all() {
        let sizes = engine.sizes(&container).await?;
        let listed = listed(engine, &container, &names, Some(sizes));
        usage.add(
            render::summary::summary(&listed, now),
            sizes.0,
            listed.state.status.is_active(),
        );
    }
    Ok(usage)
}

async fn volumes(engine: &Arc<Engine>) -> Result<Usage> {
    let mut usage = Usage::default();
    for (volume, users) in engine.list_volumes() {
        let size = engine.volume_size(&volume.data).await?;
        usage.add(
            render::volume::volume(&volume, Some((size, users))),
            size,
            users > 0,
        );
    }
    Ok(usage)
}
