//! Requests that hyper cannot serve: attaching without an `Upgrade` header.
//!
//! Docker has two ways to take a connection over. Clients that send `Upgrade: tcp` get `101 UPGRADED`; older ones, and
//! people with curl, send nothing and expect a `200 OK` after which both sides speak freely. hyper knows the first only.
//! Such clients open a connection for each attach, so it is enough to look at the first request of a connection: its head
//! is read here, and unless it asks for the second way, what was read is given to hyper together with the connection.

use std::io::{self, Write as _};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::header::{
    CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Response, Uri};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use crate::body::ResponseBody;
use crate::connection::{Connection, Record};
use crate::route;
use crate::version;

/// Longest head that is looked at; hyper has its own limit for others.
const HEAD_LIMIT: usize = 16 * 1024;
/// Longest body of such a request: the options of exec/start.
const BODY_LIMIT: usize = 64 * 1024;
/// Most headers that are looked at.
const HEADERS: usize = 64;
/// The routes that take a connection over.
const HIJACKING: [&str; 2] = ["/containers/{name}/attach", "/exec/{id}/start"];

/// What a connection begins with.
pub enum Opening {
    /// Something for hyper.
    Http(Connection),
    /// A request to take the connection over without an upgrade.
    Raw(Box<RawRequest>),
}

/// A request that was read here.
pub struct RawRequest {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The connection behind it.
    pub connection: Connection,
}

/// Reads the first head of a connection, of which `read` was read by a predecessor; `record` has what was read so far.
///
/// # Errors
/// When the connection breaks.
pub async fn open(mut stream: UnixStream, read: Vec<u8>, record: &Record) -> io::Result<Opening> {
    record.read(&read);
    let mut read = BytesMut::from(read.as_slice());
    let head = loop {
        match parse(&read) {
            Head::Partial if read.len() < HEAD_LIMIT => {}
            Head::Raw(head) => break head,
            Head::Partial | Head::Other => {
                return Ok(Opening::Http(Connection::new(read.freeze(), stream)));
            }
        }
        let before = read.len();
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(Opening::Http(Connection::new(read.freeze(), stream)));
        }
        record.read(&read[before..]);
    };
    while read.len() < head.length + head.body {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    read.advance(head.length);
    let body = read.split_to(head.body).freeze();
    let RawHead {
        method,
        uri,
        headers,
        ..
    } = *head;
    Ok(Opening::Raw(Box::new(RawRequest {
        method,
        uri,
        headers,
        body,
        connection: Connection::new(read.freeze(), stream),
    })))
}

/// What [`open`] does with what has arrived so far.
#[cfg(fuzzing)]
pub fn look_at(bytes: &[u8]) {
    parse(bytes);
}

enum Head {
    /// More is to come.
    Partial,
    /// For hyper.
    Other,
    /// For us.
    Raw(Box<RawHead>),
}

struct RawHead {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    length: usize,
    body: usize,
}

fn parse(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            raw(&request, length).map_or(Head::Other, |head| Head::Raw(Box::new(head)))
        }
        // A method that cannot become one of ours need not be waited for.
        Ok(httparse::Status::Partial) if request.method.is_none_or(|method| method == "POST") => {
            Head::Partial
        }
        _ => Head::Other,
    }
}

fn raw(request: &httparse::Request<'_, '_>, length: usize) -> Option<RawHead> {
    let uri: Uri = request
        .path
        .filter(|_| request.method == Some("POST"))?
        .parse()
        .ok()?;
    let path = version::split(uri.path()).1;
    HIJACKING
        .iter()
        .find(|pattern| route::fit(pattern, path).is_some())?;
    let mut headers = HeaderMap::new();
    for header in request.headers.iter() {
        headers.append(
            HeaderName::from_bytes(header.name.as_bytes()).ok()?,
            HeaderValue::from_bytes(header.value).ok()?,
        );
    }
    if headers.contains_key(UPGRADE) || headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let body = match headers.get(CONTENT_LENGTH) {
        Some(value) => value
            .to_str()
            .ok()?
            .parse()
            .ok()
            .filter(|length| *length <= BODY_LIMIT)?,
        None => 0,
    };
    Some(RawHead {
        method: Method::POST,
        uri,
        headers,
        length,
        body,
    })
}

/// The head after which a connection is raw.
pub fn raw_head(content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n").into_bytes()
}

/// An ordinary answer to a request that hyper has not seen; the connection ends with it.
///
/// # Errors
/// When the body cannot be made.
pub async fn plain_answer(response: Response<ResponseBody>) -> io::Result<Vec<u8>> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut out = Vec::new();
    let reason = parts.status.canonical_reason().unwrap_or_default();
    write!(out, "HTTP/1.1 {} {reason}\r\n", parts.status.as_u16())?;
    for (name, value) in &parts.headers {
        write!(out, "{name}: ")?;
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    write!(
        out,
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    out.extend_from_slice(&body);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What becomes of a connection on which a client sends `pieces` one after the other.
    async fn opening(pieces: &[&str]) -> Opening {
        let (mut client, server) = UnixStream::pair().unwrap();
        let pieces: Vec<_> = pieces.iter().map(ToString::to_string).collect();
        tokio::spawn(async move {
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        open(server, Vec::new(), &Record::default()).await.unwrap()
    }

    #[tokio::test]
    async fn everything_else_is_for_hyper_and_complete() {
        for pieces in [
            &["GET /info HTTP/1.1\r\n\r\n"][..],
            &["GET /in"],
            &["POST /containers/x/attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n"],
            &[
                "POST /containers/x/attach HTTP/1.1\r\n",
                "Upgrade: tcp\r\n\r\n",
            ],
            &["POST /v1.40/exec/x/start HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"],
            &["POST /v1.40/exec/x/start HTTP/1.1\r\nContent-Length: 100000\r\n\r\n"],
            &["POST /containers/x/wait HTTP/1.1\r\n\r\nabc"],
            &["GET /containers/x/attach HTTP/1.1\r\n\r\n"],
            &["\u{1}\u{2}\r\n\r\n"],
            &["POST /containers/x/att"],
        ] {
            let Opening::Http(mut connection) = opening(pieces).await else {
                panic!("{pieces:?} is for hyper")
            };
            let mut text = String::new();
            connection.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, pieces.concat());
        }
    }

    #[tokio::test]
    async fn attach_and_exec_without_upgrade_are_read_here() {
        let table: &[(&[&str], &str, &str, &str)] = &[
            (
                &["POST /containers/x/attach?stdin=1 HTTP/1.1\r\n\r\n"],
                "/containers/x/attach",
                "",
                "",
            ),
            (
                &[
                    "POST /v1.40/containers/x/attach HTTP/1.1\r\n",
                    "Host: a\r\n\r\nty",
                    "ped",
                ],
                "/v1.40/containers/x/attach",
                "",
                "typed",
            ),
            (
                &[
                    "POST /exec/x/start HTTP/1.0\r\nContent-Length: 2\r\n\r\n",
                    "{",
                    "}typed",
                ],
                "/exec/x/start",
                "{}",
                "typed",
            ),
        ];
        for (pieces, path, body, rest) in table {
            let Opening::Raw(mut request) = opening(pieces).await else {
                panic!("{pieces:?} is for us")
            };
            let mut typed = String::new();
            request.connection.read_to_string(&mut typed).await.unwrap();
            assert_eq!(
                (request.uri.path(), &request.body[..], typed.as_str()),
                (*path, body.as_bytes(), *rest)
            );
        }
    }

    #[tokio::test]
    async fn ordinary_answers_end_the_connection() {
        let error = crate::error::Error::no_page();
        let text = plain_answer(crate::answer::refusal(&error)).await.unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 29\r\nconnection: close\r\n\r\n\
             {\"message\":\"page not found\"}\n"
        );
    }
}
