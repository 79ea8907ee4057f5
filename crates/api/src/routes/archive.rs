//! Files of containers: `docker cp`, `docker export` and `docker diff`.

use std::io;

use bytes::Bytes;
use coracle_engine::{ExtractOptions, PathStat};
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::answer::{Answer, TAR};
use crate::body::{self, RequestBody};
use crate::call::Call;
use crate::error::{Error, Result};
use crate::render;

/// The header that describes a path.
const STAT: &str = "x-docker-container-path-stat";
/// Pieces of an archive that wait to be unpacked.
const QUEUE: usize = 4;

/// `HEAD /containers/{name}/archive`
pub async fn stat(call: Call) -> Result<Answer> {
    let stat = call.engine.path_stat(call.target(), path(&call)?).await?;
    with_stat(Answer::empty(StatusCode::OK), &stat)
}

/// `GET /containers/{name}/archive`
pub async fn read(call: Call) -> Result<Answer> {
    let (stat, archive) = call.engine.archive(call.target(), path(&call)?).await?;
    with_stat(Answer::stream(TAR, pieces(archive)), &stat)
}

/// `PUT /containers/{name}/archive`
pub async fn write(mut call: Call) -> Result<Answer> {
    let body = call.take_body();
    let options = ExtractOptions {
        keep_kinds: call.query.flag("noOverwriteDirNonDir"),
        copy_owner: call.query.flag("copyUIDGID"),
    };
    let (sender, archive) = mpsc::channel(QUEUE);
    let extract = call
        .engine
        .extract(call.target(), path(&call)?, options, archive);
    let (result, ()) = tokio::join!(extract, feed(body, sender));
    result?;
    Ok(Answer::empty(StatusCode::OK))
}

/// `GET /containers/{name}/changes`
pub async fn changes(call: Call) -> Result<Answer> {
    let changes = call.engine.changes(call.target()).await?;
    let shown = changes
        .iter()
        .map(|(path, kind)| json!({"Path": path, "Kind": *kind as u8}));
    let shown: Vec<Value> = shown.collect();
    Answer::json(&if shown.is_empty() {
        Value::Null
    } else {
        Value::Array(shown)
    })
}

/// `GET /containers/{name}/export`
pub async fn export(call: Call) -> Result<Answer> {
    Ok(Answer::stream(
        "application/octet-stream",
        pieces(call.engine.export(call.target()).await?),
    ))
}

fn path(call: &Call) -> Result<&str> {
    call.query
        .text("path")
        .ok_or_else(|| Error::BadRequest("bad parameter: 'path' cannot be empty".into()))
}

fn with_stat(answer: Answer, stat: &PathStat) -> Result<Answer> {
    let value = HeaderValue::from_str(&render::path_stat::header(stat))
        .map_err(|error| Error::Internal(format!("describe {}: {error}", stat.name)))?;
    Ok(answer.with_header(STAT, value))
}

fn pieces(archive: mpsc::Receiver<Bytes>) -> body::ResponseBody {
    body::stream(stream::unfold(archive, async |mut archive| {
        Some((io::Result::Ok(archive.recv().await?), archive))
    }))
}

/// Hands the body on; what nobody wants any more is read and dropped, so that the client gets to read the answer.
async fn feed(mut body: RequestBody, sender: mpsc::Sender<Bytes>) {
    let mut wanted = true;
    while let Some(Ok(frame)) = body.frame().await {
        if let (true, Ok(piece)) = (wanted, frame.into_data()) {
            wanted = sender.send(piece).await.is_ok();
        }
    }
}
