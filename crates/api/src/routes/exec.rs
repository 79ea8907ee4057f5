//! Exec instances: further processes in a running container.

use std::sync::Arc;

use bollard_stubs::models::{ExecConfig, ExecStartConfig};
use bytes::BytesMut;
use coracle_engine::detach::{DetachFilter, parse_keys};
use coracle_engine::{Engine, Exec, ExecRequest, Stream, Task};
use hyper::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::lifecycle::size;
use crate::answer::Answer;
use crate::call::Call;
use crate::connection::Connection;
use crate::error::Result;
use crate::frame::Framing;
use crate::hijack::{Keyboard, Terminal};
use crate::render;

/// `POST /containers/{name}/exec`
pub async fn create(mut call: Call) -> Result<Answer> {
    let config: ExecConfig = call.json().await?;
    let size = config.console_size.as_deref().and_then(console_size);
    let exec = call.engine.exec_create(call.target(), request(config)?)?;
    resize_first(&call.engine, &*call.engine.find_exec(&exec)?, size)?;
    Answer::json_as(StatusCode::CREATED, &json!({ "Id": exec }))
}

fn request(config: ExecConfig) -> Result<ExecRequest> {
    let detach_keys = config.detach_keys.unwrap_or_default();
    parse_keys(&detach_keys)?;
    Ok(ExecRequest {
        command: config.cmd.unwrap_or_default(),
        env: config.env.unwrap_or_default(),
        user: config.user,
        working_dir: config.working_dir,
        tty: config.tty.unwrap_or(false),
        privileged: config.privileged.unwrap_or(false),
        stdin: config.attach_stdin.unwrap_or(false),
        stdout: config.attach_stdout.unwrap_or(false),
        stderr: config.attach_stderr.unwrap_or(false),
        detach_keys,
    })
}

/// `ConsoleSize` is height and width; zeroes mean nothing.
fn console_size(size: &[usize]) -> Option<(u16, u16)> {
    match size {
        [rows, columns] if *rows > 0 && *columns > 0 => {
            Some((u16::try_from(*rows).ok()?, u16::try_from(*columns).ok()?))
        }
        _ => None,
    }
}

fn resize_first(engine: &Engine, exec: &Exec, size: Option<(u16, u16)>) -> Result<()> {
    match size.filter(|_| exec.request.tty) {
        Some((rows, columns)) => Ok(engine.exec_resize(&exec.id, rows, columns)?),
        None => Ok(()),
    }
}

/// `GET /exec/{id}/json`
pub async fn inspect(call: Call) -> Result<Answer> {
    let exec = call.engine.find_exec(call.target())?;
    let progress = {
        let state = exec.state();
        render::exec::Progress {
            running: state.running,
            exit_code: state.exit_code,
            pid: state.pid,
        }
    };
    Answer::json(&render::exec::inspect(
        &exec.id,
        exec.container.id(),
        &exec.request,
        progress,
    ))
}

/// `POST /exec/{id}/resize`
pub async fn resize(call: Call) -> Result<Answer> {
    let (rows, columns) = size(&call)?;
    call.engine.exec_resize(call.target(), rows, columns)?;
    Ok(Answer::empty(StatusCode::CREATED))
}

/// `POST /exec/{id}/start`
pub async fn start(mut call: Call) -> Result<Answer> {
    let options: ExecStartConfig = call.json().await?;
    let engine = Arc::clone(&call.engine);
    let exec = engine.find_exec(call.target())?;
    let keys = parse_keys(&exec.request.detach_keys)?;
    engine.exec_claim(&exec)?;
    resize_first(
        &engine,
        &exec,
        options.console_size.as_deref().and_then(console_size),
    )?;
    if options.detach.unwrap_or(false) {
        engine.exec_start(&exec).await?;
        return Ok(Answer::empty(StatusCode::OK));
    }
    let request = &exec.request;
    let terminal = Terminal {
        // Docker: not whether there is a terminal decides, but what this request says.
        framing: Framing::of(options.tty.unwrap_or(false)),
        backlog: None,
        output: exec.streams.subscribe(request.stdout, request.stderr),
        input: request.stdin.then(|| Keyboard {
            process: exec.streams.input(),
            closes: true,
            detach: request.tty.then(|| DetachFilter::new(keys)),
        }),
    };
    let content_type = terminal.framing.content_type(call.version);
    // Until the process runs; then the client is one that waits.
    let task = call.task;
    Ok(Answer::hijack(content_type, async move |connection| {
        run(engine, exec, terminal, connection, task).await
    }))
}

/// Starts the process when the client can see its output. What prevents the start is the output then (Docker).
async fn run(
    engine: Arc<Engine>,
    exec: Arc<Exec>,
    terminal: Terminal,
    mut connection: Connection,
    task: Option<Task>,
) {
    let started = engine.exec_start(&exec).await;
    drop(task);
    match started {
        Ok(()) => {
            terminal.run(connection).await;
        }
        Err(error) => {
            let mut text = BytesMut::new();
            let line = format!("{error}\r\n");
            terminal
                .framing
                .put(&mut text, Stream::Stdout, line.as_bytes());
            // A client that has gone needs no error.
            let _ = connection.write_all(&text).await;
            let _ = connection.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_sizes_are_height_and_width() {
        for (size, expected) in [
            (&[24, 80][..], Some((24, 80))),
            (&[0, 0], None),
            (&[24], None),
            (&[], None),
            (&[70_000, 80], None),
        ] {
            assert_eq!(console_size(size), expected, "{size:?}");
        }
    }
}
