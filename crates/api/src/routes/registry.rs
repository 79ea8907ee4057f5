//! Registries: pull (and import, which has the same path), push, log in, and what a registry knows about an image.

use coracle_distribution::Credentials;
use coracle_engine::{ImportRequest, PullRequest, PushRequest, Report};
use coracle_image::{Digest, Platform, Reference};
use futures_util::{StreamExt, stream};
use hyper::HeaderMap;
use serde_json::json;

use crate::answer::{Answer, JSON};
use crate::body;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::render;
use crate::version::ApiVersion;

/// The header with a client's credentials.
const AUTH_HEADER: &str = "x-registry-auth";
/// Since this version clients choose a platform.
const PLATFORM: ApiVersion = ApiVersion::new(1, 32);

/// `POST /images/create`
pub async fn create(call: Call) -> Result<Answer> {
    let Some(name) = call.query.text("fromImage") else {
        return import(call).await;
    };
    // `docker pull -a` of old clients.
    let name = name.strip_suffix(':').unwrap_or(name);
    let request = PullRequest {
        reference: reference(name, call.query.text("tag"))?,
        platform: platform(&call)?,
        credentials: credentials(&call.headers),
    };
    let engine = call.engine;
    narrate(|report| async move { engine.pull(&request, &report).await }).await
}

/// `POST /images/create` with an archive
async fn import(mut call: Call) -> Result<Answer> {
    let source = call.query.get("fromSrc").unwrap_or_default();
    if source != "-" {
        return Err(Error::NotImplemented(format!(
            "System Docker does not fetch archives: curl -L {source} | system-docker import -"
        )));
    }
    let tag = call.query.text("tag");
    let name = call.query.text("repo").map(|name| reference(name, tag));
    let comment = call.query.text("message").unwrap_or("Imported from -");
    let request = ImportRequest {
        name: name.transpose()?,
        platform: platform(&call)?,
        comment: comment.to_owned(),
        changes: call.query.all("changes").map(str::to_owned).collect(),
    };
    let (body, engine) = (call.take_body(), call.engine);
    let id = body::pipe_whole(body, async |archive, whole| {
        let is_whole = move || whole.is_whole();
        Ok(engine.import_image(request, archive, is_whole).await?)
    })
    .await?;
    Answer::json(&json!({ "status": id.to_string() }))
}

/// `POST /images/{name}/push`
pub async fn push(call: Call) -> Result<Answer> {
    let request = PushRequest {
        reference: reference(call.target(), call.query.text("tag"))?,
        credentials: credentials(&call.headers),
    };
    let engine = call.engine;
    narrate(|report| async move { engine.push(&request, &report).await }).await
}

/// `POST /auth`
pub async fn log_in(mut call: Call) -> Result<Answer> {
    let credentials: Credentials = call.json().await?;
    let token = call.engine.log_in(&credentials.unfolded()).await?;
    Answer::json(&json!({
        "IdentityToken": token.unwrap_or_default(),
        "Status": "Login Succeeded",
    }))
}

/// `GET /distribution/{name}/json`
pub async fn distribution(call: Call) -> Result<Answer> {
    let reference = Reference::parse(call.target())?;
    let found = call
        .engine
        .distribution(&reference, &credentials(&call.headers))
        .await?;
    Answer::json(&json!({"Descriptor": found.descriptor, "Platforms": found.platforms}))
}

/// Has `work` done, and tells the client about it. What goes wrong before there is something to tell is an answer of its
/// own. A client that goes away ends the work.
async fn narrate<W>(work: impl FnOnce(Report) -> W) -> Result<Answer>
where
    W: Future<Output = coracle_engine::Result<()>> + Send + 'static,
{
    // The layers of an image bound what is told.
    let (report, mut told) = Report::channel();
    let listener = report.clone();
    let work = work(report);
    let task = tokio::spawn(async move {
        tokio::select! {
            result = work => result,
            // Nobody will read it.
            () = listener.closed() => Ok(()),
        }
    });
    let Some(first) = told.recv().await else {
        finished(task.await)?;
        return Ok(Answer::stream(JSON, body::empty()));
    };
    let rest = stream::unfold((told, Some(task)), async |(mut told, task)| {
        if let Some(progress) = told.recv().await {
            return Some((render::progress::message(&progress), (told, task)));
        }
        let error = finished(task?.await).err()?;
        Some((render::image::failure(&error.to_string()), (told, None)))
    });
    let first = render::progress::message(&first);
    let lines = stream::once(std::future::ready(first)).chain(rest);
    Ok(Answer::stream(JSON, body::json_lines(lines)))
}

/// How a task went.
fn finished(
    result: std::result::Result<coracle_engine::Result<()>, tokio::task::JoinError>,
) -> Result<()> {
    Ok(result.map_err(|error| Error::Internal(format!("a task failed: {error}")))??)
}

fn credentials(headers: &HeaderMap) -> Credentials {
    let header = headers.get(AUTH_HEADER);
    header
        .and_then(|value| value.to_str().ok())
        .map(Credentials::from_header)
        .unwrap_or_default()
}

fn platform(call: &Call) -> Result<Option<Platform>> {
    if call.version < PLATFORM {
        return Ok(None);
    }
    call.query
        .text("platform")
        .map(|text| Platform::parse(text).map_err(Error::BadRequest))
        .transpose()
}

/// A name with a tag or digest that is given apart from it, and wins.
fn reference(name: &str, tag: Option<&str>) -> Result<Reference> {
    let parsed = Reference::parse(name)?;
    let Some(tag) = tag else {
        return Ok(parsed);
    };
    if let Ok(digest) = tag.parse::<Digest>() {
        return Ok(Reference {
            digest: Some(digest),
            tag: None,
            ..parsed
        });
    }
    let tagged = Reference::parse(&format!("{}:{tag}", parsed.name))?;
    Ok(Reference {
        digest: parsed.digest,
        ..tagged
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_come_together_or_apart() {
        let digest = Digest::of(b"x").to_string();
        for (name, tag, expected) in [
            ("busybox", None, "busybox".to_owned()),
            ("busybox:1", None, "busybox:1".to_owned()),
            ("busybox", Some("1"), "busybox:1".to_owned()),
            ("busybox:1", Some("2"), "busybox:2".to_owned()),
            ("l:5000/x", Some("2"), "l:5000/x:2".to_owned()),
            ("busybox", Some(&digest), format!("busybox@{digest}")),
        ] {
            let found = reference(name, tag).map(|r| r.familiar());
            assert_eq!(found.unwrap(), expected);
        }
        for (name, tag) in [
            ("Busybox", None),
            ("busybox", Some("a b")),
            ("x", Some("a/b")),
        ] {
            assert!(reference(name, tag).is_err(), "{name} {tag:?}");
        }
    }
}
