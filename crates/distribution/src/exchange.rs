//! Requests and answers, over connections that are used again.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, LOCATION, PROXY_AUTHORIZATION,
    USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::challenge::{self, Challenge};
use crate::connection::{self, Connection, Payload, SILENCE_TIMEOUT};
use crate::error::{Error, Reason, Result};
use crate::proxy::{Proxies, Proxy};

/// Largest body of an answer that says no.
const REFUSAL_LIMIT: u64 = 64 << 10;
/// How often an answer may send us elsewhere.
const REDIRECTS: usize = 5;
/// Bytes of a file that are sent at once.
const PIECE: usize = 64 << 10;

/// Called with the bytes of a body that were handed to the connection so far.
pub type Sent = Arc<dyn Fn(u64) + Send + Sync>;

/// The body of a request; it can be sent again.
#[derive(Clone)]
pub enum Body {
    None,
    Bytes(Bytes),
    File {
        path: PathBuf,
        length: u64,
        sent: Sent,
    },
}

/// A request.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Body,
}

impl Call {
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: Body::None,
        }
    }

    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// An error of this request.
    pub fn failed(&self, reason: Reason) -> Error {
        Error::Request {
            method: self.method.clone(),
            url: self.url.clone(),
            reason,
        }
    }
}

/// Scheme and authority.
type Peer = (bool, String);

/// Sends requests to a registry and to where it points.
pub struct Exchange {
    tls: Arc<ClientConfig>,
    proxies: Proxies,
    idle: Mutex<HashMap<Peer, Vec<Connection>>>,
}

/// An answer whose body has not been read.
pub struct Answer<'a> {
    exchange: &'a Exchange,
    peer: Peer,
    connection: Connection,
    response: Response<Incoming>,
    call: Call,
}

impl Exchange {
    pub fn new(tls: Arc<ClientConfig>, proxies: Proxies) -> Self {
        Self {
            tls,
            proxies,
            idle: Mutex::default(),
        }
    }

    /// Sends a request; one without a body is sent on where an answer points. Credentials go to the first host only.
    pub async fn send(&self, mut call: Call) -> Result<Answer<'_>> {
        for _ in 0..REDIRECTS {
            let answer = self.once(&call).await?;
            let target = answer.header(&LOCATION).map(str::to_owned);
            let moved = answer.status().is_redirection() && matches!(call.body, Body::None);
            let Some(target) = target.filter(|_| moved) else {
                return Ok(answer);
            };
            let next = absolute(&call.url, &target);
            if peer(&next).ok() != Some(answer.peer) {
                call.headers.retain(|(name, _)| *name != AUTHORIZATION);
            }
            call.url = next;
        }
        Err(call.failed(Reason::Transport(format!(
            "stopped after {REDIRECTS} redirects"
        ))))
    }

    async fn once(&self, call: &Call) -> Result<Answer<'_>> {
        let failed = |reason| call.failed(Reason::Transport(reason));
        let peer = peer(&call.url).map_err(failed)?;
        let proxy = self.proxies.on_the_way(peer.0, &peer.1);
        // A proxy is told where plain requests go; it sees nothing of the others.
        let told = proxy.as_ref().filter(|_| !peer.0);
        let sent = Arc::new(AtomicU64::default());
        // One that has been idle may just have been closed by the other side: then a new one tells.
        if let Some(mut connection) = self.take(&peer)
            && connection.ready().await.is_ok()
            && let Ok(response) = connection::exchange(
                &mut connection,
                request(call, &peer, told, &sent).await?,
                &sent,
            )
            .await
        {
            return Ok(self.answer(call, peer, connection, response));
        }
        let tls = peer.0.then_some(&self.tls);
        let mut connection = connection::open(&peer.1, tls, proxy.as_ref())
            .await
            .map_err(failed)?;
        let response = connection::exchange(
            &mut connection,
            request(call, &peer, told, &sent).await?,
            &sent,
        )
        .await
        .map_err(failed)?;
        Ok(self.answer(call, peer, connection, response))
    }

    fn answer(
        &self,
        call: &Call,
        peer: Peer,
        connection: Connection,
        response: Response<Incoming>,
    ) -> Answer<'_> {
        Answer {
            exchange: self,
            peer,
            connection,
            response,
            call: call.clone(),
        }
    }

    fn take(&self, peer: &Peer) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(peer)?.pop()
    }
}

impl Answer<'_> {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The request's URL, after redirects.
    pub fn url(&self) -> &str {
        &self.call.url
    }

    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub fn challenges(&self) -> Vec<Challenge> {
        let headers = self.response.headers().get_all(WWW_AUTHENTICATE);
        headers
            .iter()
            .filter_map(|header| header.to_str().ok())
            .flat_map(challenge::parse)
            .collect()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for a while.
    pub async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = match timeout(SILENCE_TIMEOUT, self.response.body_mut().frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    let reason = connection::http_reason(&error);
                    return Err(self.call.failed(Reason::Transport(reason)));
                }
                Err(_) => {
                    let reason = "net/http: timeout awaiting response body".to_owned();
                    return Err(self.call.failed(Reason::Transport(reason)));
                }
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// The whole body, which may have at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Answer::piece`]; [`Error::Invalid`] when it is larger.
    pub async fn collect(mut self, limit: u64) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
            if whole.len() as u64 > limit {
                return Err(Error::Invalid(format!(
                    "{} sends more than {limit} bytes",
                    self.call.url
                )));
            }
        }
        let idle = &self.exchange.idle;
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(self.peer).or_default().push(self.connection);
        Ok(whole)
    }

    /// The error in an answer of status 400 or more.
    ///
    /// # Errors
    /// Always.
    pub async fn refused<T>(self) -> Result<T> {
        let status = self.status();
        let content_type = self.header(&CONTENT_TYPE).unwrap_or_default().to_owned();
        let challenges = self.challenges();
        // A registry that refuses and says too much has refused all the same.
        let body = self.collect(REFUSAL_LIMIT).await.unwrap_or_default();
        Err(Error::of_answer(status, &content_type, &challenges, &body))
    }

    /// The answer, unless its status is 400 or more.
    ///
    /// # Errors
    /// As [`Answer::refused`].
    pub async fn accepted(self) -> Result<Self> {
        if self.status().is_client_error() || self.status().is_server_error() {
            self.refused().await
        } else {
            Ok(self)
        }
    }
}

/// `target` seen from `base`; both URLs, the former perhaps only a path.
pub fn absolute(base: &str, target: &str) -> String {
    if target.contains("://") {
        return target.to_owned();
    }
    let after_scheme = base.find("://").map_or(0, |at| at + 3);
    let root = base[after_scheme..]
        .find('/')
        .map_or(base.len(), |at| after_scheme + at);
    let slash = if target.starts_with('/') { "" } else { "/" };
    format!("{}{slash}{target}", &base[..root])
}

fn peer(url: &str) -> Result<Peer, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err("unsupported protocol scheme".to_owned()),
    };
    let authority = uri.authority().ok_or("no Host in request URL")?;
    // A user in a URL is none of ours.
    let authority = authority.as_str().rsplit('@').next().unwrap_or_default();
    Ok((tls, authority.to_owned()))
}

async fn request(
    call: &Call,
    peer: &Peer,
    proxy: Option<&Proxy>,
    count: &Arc<AtomicU64>,
) -> Result<Request<Payload>> {
    let malformed = |error: hyper::http::Error| call.failed(Reason::Transport(error.to_string()));
    let uri: Uri = call
        .url
        .parse()
        .map_err(|error: hyper::http::uri::InvalidUri| malformed(error.into()))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let target = match proxy {
        Some(_) => format!("http://{}{path}", peer.1),
        None => path.to_owned(),
    };
    let mut builder = Request::builder()
        .method(call.method.clone())
        .uri(target)
        .header(HOST, &peer.1)
        .header(USER_AGENT, concat!("coracle/", env!("CARGO_PKG_VERSION")));
    if let Some(value) = proxy.and_then(|proxy| proxy.authorization.as_ref()) {
        builder = builder.header(PROXY_AUTHORIZATION, value);
    }
    for (name, value) in &call.headers {
        builder = builder.header(name, value);
    }
    let never = |never: std::convert::Infallible| match never {};
    let payload = match &call.body {
        Body::None if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) => {
            builder = builder.header(CONTENT_LENGTH, 0);
            Empty::new().map_err(never).boxed_unsync()
        }
        Body::None => Empty::new().map_err(never).boxed_unsync(),
        Body::Bytes(bytes) => Full::new(bytes.clone()).map_err(never).boxed_unsync(),
        Body::File { path, length, sent } => {
            builder = builder.header(CONTENT_LENGTH, *length);
            let file = tokio::fs::File::open(path)
                .await
                .map_err(Error::file(format!("open {}", path.display())))?;
            pieces(file, Arc::clone(sent), Arc::clone(count))
        }
    };
    builder.body(payload).map_err(malformed)
}

fn pieces(file: tokio::fs::File, sent: Sent, count: Arc<AtomicU64>) -> Payload {
    let next = async move |(mut file, total): (tokio::fs::File, u64)| {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut file)
            .take(PIECE as u64)
            .read_to_end(&mut piece)
            .await?;
        if piece.is_empty() {
            return Ok::<_, io::Error>(None);
        }
        let total = total + piece.len() as u64;
        Ok(Some(((Bytes::from(piece), total), (file, total))))
    };
    let pieces = stream::try_unfold((file, 0), next).map_ok(move |(piece, total)| {
        count.store(total, Ordering::Relaxed);
        sent(total);
        Frame::data(piece)
    });
    StreamBody::new(pieces).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_seen_from_where_they_were_told() {
        for (base, target, expected) in [
            ("https://a:1/v2/x", "/v2/y?z", "https://a:1/v2/y?z"),
            ("https://a", "v2", "https://a/v2"),
            ("https://a/b", "http://c/d", "http://c/d"),
        ] {
            assert_eq!(absolute(base, target), expected);
        }
        assert_eq!(peer("https://u:p@a:1/x"), Ok((true, "a:1".to_owned())));
        assert!(peer("ftp://a").is_err());
        assert!(peer("/a").is_err());
    }
}
