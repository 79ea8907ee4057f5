//! HTTP/1.1 connections to a registry.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, PROXY_AUTHORIZATION};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::proxy::Proxy;
use crate::settings::host;
use crate::tls;

/// What is sent.
pub type Payload = UnsyncBoxBody<Bytes, io::Error>;
/// An open connection.
pub type Connection = SendRequest<Payload>;

/// For a connection to come about (Docker's client has the same).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// For the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may be silent.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a peer may be silent that gets a body.
const STORE_TIMEOUT: Duration = Duration::from_secs(300);

/// Connects to `authority`, with TLS when there is a configuration of it, perhaps through a proxy. The error is Docker's
/// text.
pub async fn open(
    authority: &str,
    tls: Option<&Arc<ClientConfig>>,
    proxy: Option<&Proxy>,
) -> Result<Connection, String> {
    match (tls, proxy) {
        (None, None) => speak(connect(authority, 80).await?).await,
        (None, Some(proxy)) => speak(to_proxy(proxy).await?).await,
        (Some(config), None) => secure(authority, config, connect(authority, 443).await?).await,
        (Some(config), Some(proxy)) => {
            let stream = tunnel(to_proxy(proxy).await?, authority, proxy).await?;
            secure(authority, config, stream).await
        }
    }
}

async fn secure(
    authority: &str,
    config: &Arc<ClientConfig>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Connection, String> {
    let name = host(authority).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).map_err(|_| format!("invalid host name {authority}"))?;
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = timeout(HANDSHAKE_TIMEOUT, connector.connect(name, stream))
        .await
        .map_err(|_| "net/http: TLS handshake timeout".to_owned())?
        .map_err(|error| tls::reason(&error))?;
    speak(stream).await
}

async fn to_proxy(proxy: &Proxy) -> Result<TcpStream, String> {
    connect(&proxy.authority, 80)
        .await
        .map_err(|reason| format!("proxyconnect tcp: {reason}"))
}

/// Has a proxy carry a connection (RFC 9110, 9.3.6).
async fn tunnel(
    stream: TcpStream,
    authority: &str,
    proxy: &Proxy,
) -> Result<TokioIo<Upgraded>, String> {
    let (mut sender, driver) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| http_reason(&error))?;
    tokio::spawn(async move {
        // Whoever uses the connection gets the error.
        let _ = driver.with_upgrades().await;
    });
    let port = if host(authority) == authority {
        ":443"
    } else {
        ""
    };
    let target = format!("{authority}{port}");
    let mut request = Request::connect(&target).header(HOST, &target);
    if let Some(value) = &proxy.authorization {
        request = request.header(PROXY_AUTHORIZATION, value);
    }
    let nothing = Empty::new().map_err(|never: Infallible| match never {});
    let request = request
        .body(nothing.boxed_unsync())
        .map_err(|error| error.to_string())?;
    let response = exchange(&mut sender, request, &AtomicU64::new(0)).await?;
    if !response.status().is_success() {
        let status = response.status();
        return Err(status
            .canonical_reason()
            .unwrap_or(status.as_str())
            .to_owned());
    }
    let upgraded = hyper::upgrade::on(response).await;
    upgraded
        .map(TokioIo::new)
        .map_err(|error| http_reason(&error))
}

/// Sends a request and waits for the head of the answer, as long as `sent`, the bytes of its body, grows or the peer is
/// not silent for too long.
pub async fn exchange(
    connection: &mut Connection,
    request: Request<Payload>,
    sent: &AtomicU64,
) -> Result<Response<Incoming>, String> {
    let mut answer = pin!(connection.send_request(request));
    let mut before = 0;
    loop {
        // Who has got a body may have to store it first.
        let limit = if before > 0 {
            STORE_TIMEOUT
        } else {
            SILENCE_TIMEOUT
        };
        if let Ok(answer) = timeout(limit, &mut answer).await {
            return answer.map_err(|error| http_reason(&error));
        }
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return Err("net/http: timeout awaiting response headers".to_owned());
        }
        before = now;
    }
}

async fn connect(authority: &str, usual_port: u16) -> Result<TcpStream, String> {
    let host = host(authority);
    let port = authority
        .get(host.len() + 1..)
        .map_or(Ok(usual_port), str::parse)
        .map_err(|_| format!("dial tcp: address {authority}: invalid port"))?;
    let host = host.trim_matches(['[', ']']);
    let unknown = |error: io::Error| {
        let text = error.to_string();
        // The standard library has no code for these.
        let known = ["not known", "No address"]
            .iter()
            .any(|part| text.contains(part));
        let reason = if known { "no such host" } else { &text };
        let reason = reason.rsplit(": ").next().unwrap_or_default();
        format!("dial tcp: lookup {host}: {}", lower(reason))
    };
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(unknown)?;
    let mut reason = format!("dial tcp: lookup {host}: no such host");
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it a request waits for the acknowledgement of its first half; it works all the same.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => {
                reason = format!("dial tcp {address}: connect: {}", io_reason(&error));
            }
            Err(_) => reason = format!("dial tcp {address}: i/o timeout"),
        }
    }
    Err(reason)
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Connection, String> {
    let (sender, driver) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| http_reason(&error))?;
    tokio::spawn(async move {
        // Whoever uses the connection gets the error.
        let _ = driver.await;
    });
    Ok(sender)
}

/// Why a connection broke, in Docker's words where it has some.
pub fn http_reason(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "EOF".to_owned();
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return tls::reason(cause);
        }
        source = cause.source();
    }
    error.to_string()
}

/// `Connection refused (os error 111)` is `connection refused` to Docker's users.
pub fn io_reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "unexpected EOF".to_owned();
    }
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => lower(text),
        None => text,
    }
}

/// As Go begins errors: with a small letter.
fn lower(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_ascii_lowercase())
        .into_iter()
        .chain(characters)
        .collect()
}
