//! The output of services, line by line (E1-024).

use std::pin::Pin;

use bollard::query_parameters::LogsOptionsBuilder;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::Error;
use crate::engines::Engines;
use crate::project::Project;

/// One line of a service's output, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The service.
    pub service: String,
    /// The line.
    pub line: Bytes,
}

/// Lines as they come.
pub type LogLines<'a> = Pin<Box<dyn Stream<Item = Result<LogLine, Error>> + Send + 'a>>;

/// The last `tail` lines of each named service (of all when `names` is empty), one service after the other; with `follow`
/// also what they write from now on, as it comes. Services without container are left out.
///
/// # Errors
/// When a name is no service.
pub async fn logs<'a>(
    engines: &'a Engines,
    project: &Project,
    names: &[String],
    tail: u32,
    follow: bool,
) -> Result<LogLines<'a>, Error> {
    if let Some(name) = names.iter().find(|name| project.service(name).is_none()) {
        return Err(Error::UnknownService { name: name.clone() });
    }
    let mut streams: Vec<LogLines<'a>> = Vec::new();
    for service in &project.services {
        let chosen = |name: &String| *name == service.name || *name == service.container_name;
        if !names.is_empty() && !names.iter().any(chosen) {
            continue;
        }
        let engine = match engines.if_running(service.steering.scope).await? {
            Some(engine) => engine,
            None => continue,
        };
        if engine.container(&service.container_name).await?.is_none() {
            continue;
        }
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .follow(follow)
            .tail(&tail.to_string())
            .build();
        let container = service.container_name.clone();
        let output = engine
            .docker()
            .logs(&container, Some(options))
            .map(move |part| match part {
                Ok(part) => Ok(part.into_bytes()),
                Err(e) => Err(engine.failed("read the log of", &container, e)),
            });
        streams.push(Box::pin(lines(service.name.clone(), output)));
    }
    Ok(match follow {
        true => Box::pin(stream::select_all(streams)),
        false => Box::pin(stream::iter(streams).flatten()),
    })
}

/// Cuts a stream of pieces into lines; a last line without end counts as one.
fn lines(
    service: String,
    pieces: impl Stream<Item = Result<Bytes, Error>> + Send,
) -> impl Stream<Item = Result<LogLine, Error>> + Send {
    let mut rest = BytesMut::new();
    pieces
        .map(Some)
        .chain(stream::once(std::future::ready(None)))
        .map(move |piece| {
            let mut found = Vec::new();
            let mut push = |line: BytesMut| {
                let service = service.clone();
                let line = line.freeze();
                found.push(Ok(LogLine { service, line }));
            };
            match piece {
                Some(Ok(bytes)) => {
                    rest.extend_from_slice(&bytes);
                    while let Some(end) = rest.iter().position(|&b| b == b'\n') {
                        let mut line = rest.split_to(end + 1);
                        line.truncate(end - usize::from(line[..end].ends_with(b"\r")));
                        push(line);
                    }
                }
                Some(Err(error)) => found.push(Err(error)),
                None if !rest.is_empty() => push(rest.split()),
                None => {}
            }
            stream::iter(found)
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_become_lines() {
        let pieces = ["one\ntw", "o\r\n\nthr", "ee"].map(|p| Ok(Bytes::from(p)));
        let lines: Vec<_> = lines("s".into(), stream::iter(pieces))
            .map(|line| String::from_utf8(line.unwrap().line.to_vec()).unwrap())
            .collect()
            .await;
        assert_eq!(lines, ["one", "two", "", "three"]);
    }
}
