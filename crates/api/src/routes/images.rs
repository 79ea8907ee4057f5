//! Images: list, inspect, history, load, save, tag, delete, prune.

use std::sync::Arc;

use coracle_engine::Engine;
use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::answer::{Answer, JSON, TAR};
use crate::body;
use crate::call::Call;
use crate::error::Result;
use crate::image_filter::{self, ImageFilter, made};
use crate::render;

/// `GET /images/json`
pub async fn list(call: Call) -> Result<Answer> {
    let filters = call.query.filters(image_filter::KEYS)?;
    let engine = &call.engine;
    let (before, since) = (
        filters.get("before").first().cloned(),
        filters.get("since").first().cloned(),
    );
    let mut filter = ImageFilter::new(filters, Timestamp::now())?;
    if let Some(name) = before {
        filter.before = Some(made(&engine.image(&name).await?));
    }
    if let Some(name) = since {
        filter.since = Some(made(&engine.image(&name).await?));
    }
    let images = engine.images().await?;
    let shown: Vec<Value> = images
        .into_iter()
        .filter(|image| filter.accepts(image))
        .map(|image| {
            let image = filter.narrowed(image);
            render::image::summary(
                &image,
                engine.image_users(&image.id.to_string()),
                -1,
                call.version,
            )
        })
        .collect();
    Answer::json(&shown)
}

/// `GET /images/{name}/json`
pub async fn inspect(call: Call) -> Result<Answer> {
    Answer::json(&render::image::inspect(
        &call.engine.image(call.target()).await?,
        call.version,
    ))
}

/// `GET /images/{name}/history`
pub async fn history(call: Call) -> Result<Answer> {
    Answer::json(&render::image::history(
        &call.engine.image(call.target()).await?,
    ))
}

/// `POST /images/{name}/tag`
pub async fn tag(call: Call) -> Result<Answer> {
    let (repository, tag) = (
        call.query.get("repo").unwrap_or_default(),
        call.query.get("tag").unwrap_or_default(),
    );
    call.engine
        .tag_image(call.target(), repository, tag)
        .await?;
    Ok(Answer::empty(StatusCode::CREATED))
}

/// `DELETE /images/{name}`
pub async fn remove(call: Call) -> Result<Answer> {
    let removed = call
        .engine
        .remove_image(call.target(), call.query.flag("force"))
        .await?;
    Answer::json(&render::image::removed(&removed))
}

/// `POST /images/prune`
pub async fn prune(call: Call) -> Result<Answer> {
    let filter = ImageFilter::new(
        call.query.filters(image_filter::PRUNE_KEYS)?,
        Timestamp::now(),
    )?;
    let (removed, bytes) = call
        .engine
        .prune_images(|image| filter.prunes(image))
        .await?;
    let deleted = if removed.is_empty() {
        Value::Null
    } else {
        render::image::removed(&removed)
    };
    Answer::json(&json!({"ImagesDeleted": deleted, "SpaceReclaimed": bytes}))
}

/// `POST /images/load`. The head of the answer is sent at once: what goes wrong is told in the body.
pub async fn load(mut call: Call) -> Result<Answer> {
    let quiet = call.query.flag_or("quiet", true);
    let body = call.take_body();
    let (engine, task) = (call.engine, call.task);
    // One line for each layer and image: the archive bounds it.
    let (lines, shown) = mpsc::unbounded_channel::<Value>();
    // A task of its own: a load that has begun is finished, also when the client does not wait for the answer.
    tokio::spawn(async move {
        let progress = lines.clone();
        let note = move |digest: &coracle_image::Digest| {
            if !quiet {
                // A client that has gone misses nothing.
                let _ = progress.send(
                    json!({"status": "Loading layer", "id": digest.short(), "progressDetail": {}}),
                );
            }
        };
        let result = body::pipe_to(body, async |archive| {
            Ok(engine.load_images(archive, note).await?)
        })
        .await;
        let last = match result {
            Ok(loaded) => render::image::loaded(&loaded),
            Err(error) => vec![render::image::failure(&error.to_string())],
        };
        last.into_iter().for_each(|line| drop(lines.send(line)));
        drop(task);
    });
    let shown = stream::unfold(shown, async |mut shown| Some((shown.recv().await?, shown)));
    Ok(Answer::stream(JSON, body::json_lines(shown.boxed())))
}

/// `GET /images/{name}/get`
pub async fn save(call: Call) -> Result<Answer> {
    let names = vec![call.target().to_owned()];
    archive(call.engine, names).await
}

/// `GET /images/get`
pub async fn save_several(call: Call) -> Result<Answer> {
    // Clients send a parameter for each name, or one with commas.
    let names = call.query.all("names").flat_map(|names| names.split(','));
    let names = names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    archive(call.engine, names).await
}

async fn archive(engine: Arc<Engine>, names: Vec<String>) -> Result<Answer> {
    // Once the archive has begun there is no way to say that an image is missing.
    engine.check_saved(names.clone()).await?;
    let (writer, body) = body::written();
    tokio::spawn(async move {
        match engine.save_images(names, writer).await {
            Ok(writer) => writer.finish().await,
            // The connection is cut, so that the client does not take the part for the whole.
            Err(error) => tracing::warn!("save images: {error}"),
        }
    });
    Ok(Answer::stream(TAR, body))
}
