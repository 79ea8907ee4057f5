//! Container calls that change its state: start, stop, wait and so on.

use bollard_stubs::models::ContainerUpdateBody;
use coracle_engine::{Ended, WaitCondition};
use futures_util::stream;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, JSON};
use crate::body;
use crate::call::Call;
use crate::error::{Error, Result};

const DONE: StatusCode = StatusCode::NO_CONTENT;

/// `POST /containers/{name}/start`
pub async fn start(call: Call) -> Result<Answer> {
    call.engine.start(call.target()).await?;
    Ok(Answer::empty(DONE))
}

/// `POST /containers/{name}/stop`
pub async fn stop(call: Call) -> Result<Answer> {
    call.engine
        .stop(
            call.target(),
            call.query.text("signal"),
            call.query.number("t")?,
        )
        .await?;
    Ok(Answer::empty(DONE))
}

/// `POST /containers/{name}/restart`
pub async fn restart(call: Call) -> Result<Answer> {
    call.engine
        .restart(
            call.target(),
            call.query.text("signal"),
            call.query.number("t")?,
        )
        .await?;
    Ok(Answer::empty(DONE))
}

/// `POST /containers/{name}/kill`
pub async fn kill(call: Call) -> Result<Answer> {
    call.engine
        .kill(call.target(), call.query.text("signal"))
        .await?;
    Ok(Answer::empty(DONE))
}

/// `POST /containers/{name}/pause`
pub async fn pause(call: Call) -> Result<Answer> {
    call.engine.pause(call.target()).await?;
    Ok(Answer::empty(DONE))
}

/// `POST /containers/{name}/unpause`
pub async fn unpause(call: Call) -> Result<Answer> {
    call.engine.unpause(call.target()).await?;
    Ok(Answer::empty(DONE))
}

/// `POST /containers/{name}/rename`
pub async fn rename(call: Call) -> Result<Answer> {
    call.engine
        .rename(call.target(), call.query.get("name").unwrap_or_default())
        .await?;
    Ok(Answer::empty(DONE))
}

/// `POST /containers/{name}/update`
pub async fn update(mut call: Call) -> Result<Answer> {
    let change: ContainerUpdateBody = call.json().await?;
    let warnings = call.engine.update(call.target(), &change).await?;
    Answer::json(&json!({ "Warnings": nullable(&warnings) }))
}

/// `POST /containers/{name}/resize`
pub async fn resize(call: Call) -> Result<Answer> {
    let (rows, columns) = size(&call)?;
    call.engine.resize(call.target(), rows, columns)?;
    Ok(Answer::empty(StatusCode::OK))
}

/// The parameters `h` and `w` of the resize calls.
pub fn size(call: &Call) -> Result<(u16, u16)> {
    let number = |name: &str, what: &str| {
        let text = call.query.get(name).unwrap_or_default();
        text.parse().map_err(|_| {
            Error::BadRequest(format!("invalid resize {what} \"{text}\": invalid syntax"))
        })
    };
    Ok((number("h", "height")?, number("w", "width")?))
}

/// `DELETE /containers/{name}`
pub async fn remove(call: Call) -> Result<Answer> {
    if call.query.flag("link") {
        return Err(Error::BadRequest(
            "System Docker has no links between containers".into(),
        ));
    }
    call.engine
        .remove(
            call.target(),
            call.query.flag("force"),
            call.query.flag("v"),
        )
        .await?;
    Ok(Answer::empty(DONE))
}

/// `POST /containers/{name}/wait`. The head of the answer is sent at once: clients start the container when they have it.
pub async fn wait(call: Call) -> Result<Answer> {
    let condition = condition(call.query.get("condition").unwrap_or_default())?;
    let waiter = call.engine.wait(call.target(), condition)?;
    let ended = stream::once(async move { result(&waiter.ended().await) });
    Ok(Answer::stream(JSON, body::json_lines(ended)))
}

fn condition(text: &str) -> Result<WaitCondition> {
    match text {
        "" | "not-running" => Ok(WaitCondition::NotRunning),
        "next-exit" => Ok(WaitCondition::NextExit),
        "removed" => Ok(WaitCondition::Removed),
        _ => Err(Error::BadRequest(format!("invalid condition: \"{text}\""))),
    }
}

fn result(ended: &Ended) -> Value {
    if ended.error.is_empty() {
        json!({ "StatusCode": ended.exit_code })
    } else {
        json!({"StatusCode": ended.exit_code, "Error": {"Message": ended.error}})
    }
}

/// An empty list is `null` in Docker's answers.
pub fn nullable(list: &[String]) -> Value {
    if list.is_empty() {
        Value::Null
    } else {
        json!(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_conditions_are_dockers() {
        for (text, expected) in [
            ("", Ok(WaitCondition::NotRunning)),
            ("not-running", Ok(WaitCondition::NotRunning)),
            ("next-exit", Ok(WaitCondition::NextExit)),
            ("removed", Ok(WaitCondition::Removed)),
            ("gone", Err("invalid condition: \"gone\"")),
        ] {
            let found = condition(text).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_failed_start_is_told_with_its_code() {
        let ended = |exit_code, error: &str| {
            result(&Ended {
                exit_code,
                error: error.into(),
            })
        };
        assert_eq!(ended(3, ""), json!({"StatusCode": 3}));
        assert_eq!(
            ended(127, "no such file"),
            json!({"StatusCode": 127, "Error": {"Message": "no such file"}})
        );
    }
}
