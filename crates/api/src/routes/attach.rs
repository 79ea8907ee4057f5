//! `POST /containers/{name}/attach`: a client at the streams of a container.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use coracle_engine::detach::{DetachFilter, parse_keys};
use coracle_engine::{AttachRequest, LogStream};
use tokio::sync::mpsc;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::frame::Framing;
use crate::hijack::{End, Keyboard, Terminal};
use crate::render::log::LogFormat;

/// `POST /containers/{name}/attach`
pub async fn attach(call: Call) -> Result<Answer> {
    let query = &call.query;
    let request = AttachRequest {
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
    };
    let keys = parse_keys(query.get("detachKeys").unwrap_or_default())?;
    // Attached before the answer: the client starts the container as soon as it has that, and misses nothing.
    let attachment = call.engine.attach(call.target(), request)?;
    let (tty, closes) = (attachment.tty, attachment.stdin_once && !attachment.tty);
    let framing = Framing::of(tty);
    let detach = tty.then(|| DetachFilter::new(keys));
    let terminal = Terminal {
        framing,
        backlog: attachment.replay.map(|log| backlog(log, framing)),
        output: attachment.output,
        input: attachment.input.map(|process| Keyboard {
            process,
            closes,
            detach,
        }),
    };
    let (engine, container) = (Arc::clone(&call.engine), call.target().to_owned());
    Ok(Answer::hijack(
        framing.content_type(call.version),
        async move |connection| {
            if terminal.run(connection).await == End::Detached {
                engine.detached(&container);
            }
        },
    ))
}

/// `GET /containers/{name}/attach/ws`
pub async fn websocket(_: Call) -> Result<Answer> {
    Err(Error::NotImplemented(
        "System Docker has no websockets: attach with POST /containers/{name}/attach".into(),
    ))
}

/// The log so far, framed.
fn backlog(mut log: LogStream, framing: Framing) -> mpsc::Receiver<Bytes> {
    let (sender, pieces) = mpsc::channel(1);
    let format = LogFormat {
        framing,
        timestamps: false,
        details: false,
    };
    tokio::spawn(async move {
        while let Some(lines) = log.recv().await {
            let mut out = BytesMut::new();
            lines.iter().for_each(|line| format.put(&mut out, line));
            if sender.send(out.freeze()).await.is_err() {
                return;
            }
        }
    });
    pieces
}
