//! Connections: who may come in, and which way they are served.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use coracle_engine::handover::Idle;
use coracle_engine::{Engine, Phase};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as HyperBody;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::answer::{Answer, Hijack, refusal};
use crate::body::{self, ResponseBody};
use crate::connection::{Connection, Record};
use crate::dispatch::{self, Incoming};
use crate::error::Error;
use crate::sniff::{self, Opening, RawRequest};

/// Connections that are served at the same time; more wait until one ends.
const CONNECTIONS: usize = 512;
/// Pause after a failed accept, which is for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long ordinary requests may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Serves the Docker Engine API on `listener` until `shutdown`, or until the engine has handed over. Only root may use it,
/// whatever the socket's mode says.
///
/// While a hand-over is prepared nobody is let in: who comes waits in the socket's queue, for the successor if need be. `idle`
/// are connections of a predecessor; the result is for a successor.
pub async fn serve(
    listener: UnixListener,
    engine: Arc<Engine>,
    idle: Vec<Idle>,
    shutdown: impl Future<Output = ()>,
) -> Vec<Idle> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Every connection holds a receiver: the channel is closed when the last one has ended.
    let (stop, stopped) = watch::channel(());
    let (keep, mut kept) = mpsc::unbounded_channel();
    let begin = |stream: UnixStream, read: Vec<u8>, place: OwnedSemaphorePermit| {
        let (engine, mut stopped, keep) = (Arc::clone(&engine), stopped.clone(), keep.clone());
        // A panic ends the task, and with it this connection only.
        tokio::spawn(async move {
            let served = connection(stream, engine, &mut stopped, Some(&keep), read).await;
            if let Err(error) = served {
                tracing::debug!("a connection to the API: {error}");
            }
            drop(place);
        });
    };
    for Idle { socket, read } in idle {
        let stream = UnixStream::from_std(socket.into());
        match (stream, Arc::clone(&places).try_acquire_owned()) {
            (Ok(stream), Ok(place)) => begin(stream, read, place),
            _ => tracing::error!("a connection to the API is lost"),
        }
    }
    let accept = async || {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::error!("accept a connection to the API: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            begin(stream, Vec::new(), place);
        }
    };
    let mut phase = engine.work().phase();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = accept() => {}
            () = &mut shutdown => break,
            // The sender is the engine's: this cannot fail.
            _ = phase.wait_for(|phase| *phase != Phase::Open) => {}
        }
        let decided = tokio::select! {
            () = &mut shutdown => break,
            decided = phase.wait_for(|phase| *phase != Phase::Closing) => decided.is_ok_and(|phase| *phase == Phase::Frozen),
        };
        if decided {
            break;
        }
    }
    drop(stopped);
    // Nobody left to tell is fine.
    let _ = stop.send(());
    if tokio::time::timeout(GRACE, stop.closed()).await.is_err() {
        tracing::debug!("left API connections open that did not end within {GRACE:?}");
    }
    let mut all = Vec::new();
    while let Ok(one) = kept.try_recv() {
        all.push(one);
    }
    all
}

async fn connection(
    stream: UnixStream,
    engine: Arc<Engine>,
    stopped: &mut watch::Receiver<()>,
    kept: Option<&mpsc::UnboundedSender<Idle>>,
    read: Vec<u8>,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let opening = if peer.uid() == 0 {
        let copy = stream.as_fd().try_clone_to_owned()?;
        let record = Record::default();
        let opened = tokio::select! {
            biased;
            opening = sniff::open(stream, read, &record) => Some(opening?),
            _ = stopped.changed() => None,
        };
        let Some(opening) = opened else {
            if let (Some(kept), Some(read)) = (kept, record.replay()) {
                let _ = kept.send(Idle { socket: copy, read });
            }
            return Ok(());
        };
        opening
    } else {
        return refuse(stream, peer.uid()).await;
    };
    match opening {
        Opening::Raw(request) => raw(*request, engine).await,
        Opening::Http(io) => {
            let (record, copy) = (io.record(), io.copy()?);
            let noted = Arc::clone(&record);
            let service = service_fn(move |request| {
                in_task(Arc::clone(&engine), request, Arc::clone(&noted))
            });
            let serving = http1::Builder::new()
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades();
            tokio::pin!(serving);
            tokio::select! {
                // First: what is to be written is written before it is looked at how far it has got.
                biased;
                result = serving.as_mut() => return result.map_err(io::Error::other),
                _ = stopped.changed() => {}
            }
            if let (Some(kept), Some(read)) = (kept, record.replay()) {
                // The successor goes on, as it would with a new one.
                let _ = kept.send(Idle { socket: copy, read });
                return Ok(());
            }
            serving.as_mut().graceful_shutdown();
            serving.await.map_err(io::Error::other)
        }
    }
}

/// Answers every request of somebody who may not use the API.
async fn refuse(stream: UnixStream, uid: u32) -> io::Result<()> {
    tracing::warn!("refused user {uid} at System Docker's socket");
    let service = service_fn(|_: Request<HyperBody>| async {
        let error = Error::Forbidden("permission denied: only root may use System Docker".into());
        Ok::<_, Infallible>(refusal(&error))
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

/// Answers a request in a task of its own: a client that goes does not stop halfway what it has begun, which would leave
/// a container half started.
fn in_task(
    engine: Arc<Engine>,
    request: Request<HyperBody>,
    record: Arc<Record>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let task = tokio::spawn(respond(engine, request, record));
    async move {
        match task.await {
            Ok(response) => response,
            // Panics are caught inside.
            Err(_) => Ok(refusal(&Error::Internal("the engine is ending".into()))),
        }
    }
}

/// Answers a request that hyper has read.
async fn respond(
    engine: Arc<Engine>,
    mut request: Request<HyperBody>,
    record: Arc<Record>,
) -> Result<Response<ResponseBody>, Infallible> {
    let wants_upgrade = request.headers().contains_key(UPGRADE);
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let body = body.map_err(io::Error::other).boxed_unsync();
    let Hijack {
        content_type,
        session,
    } = match dispatch::answer(engine, Incoming::new(parts, body, record)).await {
        Answer::Response(response) => return Ok(response),
        Answer::Hijack(hijack) => hijack,
    };
    if !wants_upgrade {
        return Ok(refusal(&Error::BadRequest(
            "this request takes the connection over: send it with \"Upgrade: tcp\", or as the first one of a connection".into(),
        )));
    }
    tokio::spawn(async move {
        // Neither is an error of ours: the client left while its connection was taken over.
        let Ok(upgraded) = upgrade.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Connection>>() else {
            return;
        };
        session(parts.io.into_inner().with_prefix(parts.read_buf)).await;
    });
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(b"UPGRADED"));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    Ok(response)
}

/// Answers a request that takes its connection over without an upgrade.
async fn raw(request: RawRequest, engine: Arc<Engine>) -> io::Result<()> {
    let RawRequest {
        method,
        uri,
        headers,
        body,
        mut connection,
    } = request;
    let body = Full::new(body)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync();
    match dispatch::answer(
        engine,
        Incoming {
            method,
            uri,
            headers,
            body,
            record: None,
        },
    )
    .await
    {
        Answer::Response(response) => {
            connection
                .write_all(&sniff::plain_answer(response).await?)
                .await?;
            connection.shutdown().await
        }
        Answer::Hijack(Hijack {
            content_type,
            session,
        }) => {
            connection.write_all(&sniff::raw_head(content_type)).await?;
            session(connection).await;
            Ok(())
        }
    }
}
