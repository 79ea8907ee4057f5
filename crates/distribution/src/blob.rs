//! Blobs: downloads that go on after a cut connection, and uploads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coracle_image::{Digest, Named};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RANGE};
use hyper::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::error::{Error, Result};
use crate::exchange::{Answer, Body, Call, absolute};
use crate::registry::Registry;
use coracle_image::manifest::Descriptor;

/// Attempts one after the other that bring nothing, as many as Docker's `max-download-attempts`.
const ATTEMPTS: u32 = 5;
/// Attempts of a download altogether: a peer that sends a byte each time is none.
const ALL_ATTEMPTS: u32 = 100;
/// Attempts of an upload, as many as Docker's `max-upload-attempts`.
const UPLOAD_ATTEMPTS: u32 = 5;
/// Progress is told after so many bytes.
const STEP: u64 = 512 << 10;
/// Largest answer of an upload that is read.
const ANSWER_LIMIT: u64 = 64 << 10;

/// How a download goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Downloaded {
    /// So many bytes have come.
    Bytes(u64),
    /// It broke, and goes on in so many seconds.
    Retry(u64),
    /// All has come.
    Whole,
}

/// How a blob came to be in a registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Uploaded {
    /// It was mounted from another repository.
    Mounted,
    /// The registry does not mount; nothing has happened.
    Refused,
}

/// A file that is being filled.
struct Partial {
    file: File,
    path: PathBuf,
    hasher: Sha256,
    length: u64,
}

impl Registry {
    /// Downloads a blob into a new file. A connection that breaks is made again, and goes on where it was.
    ///
    /// # Errors
    /// As the registry gives; [`Error::Invalid`] when the content is not that of the digest, or longer than it should be.
    pub async fn download(
        &self,
        blob: &Descriptor,
        path: &Path,
        mut progress: impl FnMut(Downloaded) + Send,
    ) -> Result<()> {
        let mut partial = Partial::create(path).await?;
        let mut fruitless = 0;
        for attempt in 1.. {
            let before = partial.length;
            let Err(error) = self
                .continue_download(blob, &mut partial, &mut progress)
                .await
            else {
                break;
            };
            fruitless = if partial.length > before {
                0
            } else {
                fruitless + 1
            };
            if !error.is_passing() || fruitless == ATTEMPTS || attempt == ALL_ATTEMPTS {
                return Err(error);
            }
            tracing::debug!("download {}: {error}", blob.digest);
            if fruitless > 0 {
                let seconds = 1 << fruitless;
                progress(Downloaded::Retry(seconds));
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        }
        progress(Downloaded::Whole);
        partial.finish(blob).await
    }

    async fn continue_download(
        &self,
        blob: &Descriptor,
        partial: &mut Partial,
        progress: &mut (impl FnMut(Downloaded) + Send),
    ) -> Result<()> {
        if partial.length == blob.size && blob.size > 0 {
            return Ok(());
        }
        let mut call = Call::new(Method::GET, self.blob_url(&blob.digest));
        if partial.length > 0 {
            call = call.header(RANGE, format!("bytes={}-", partial.length));
        }
        let mut answer = self.send(call).await?;
        if partial.length > 0 && !continues(&answer, partial.length) {
            partial.restart().await?;
            if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                let call = Call::new(Method::GET, self.blob_url(&blob.digest));
                answer = self.send(call).await?;
            }
        }
        let mut answer = answer.accepted().await?;
        let mut told = partial.length;
        while let Some(piece) = answer.piece().await? {
            partial.append(&piece).await?;
            if partial.length > blob.size {
                return Err(Error::Invalid(format!(
                    "{} is longer than the {} bytes that its manifest says",
                    blob.digest, blob.size
                )));
            }
            if partial.length - told >= STEP || partial.length == blob.size {
                told = partial.length;
                progress(Downloaded::Bytes(told));
            }
        }
        if partial.length < blob.size {
            let reason = "unexpected EOF".to_owned();
            let call = Call::new(Method::GET, self.blob_url(&blob.digest));
            return Err(call.failed(crate::error::Reason::Transport(reason)));
        }
        Ok(())
    }

    /// The size of a blob that the repository has.
    ///
    /// # Errors
    /// As the registry gives, other than that there is none.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let answer = self
            .send(Call::new(Method::HEAD, self.blob_url(digest)))
            .await?;
        let size = answer
            .header(&CONTENT_LENGTH)
            .and_then(|text| text.parse().ok());
        let (good, missing) = (
            answer.status().is_success(),
            answer.status() == StatusCode::NOT_FOUND,
        );
        if good || missing {
            answer.collect(ANSWER_LIMIT).await?;
            return Ok(size.filter(|_| good));
        }
        answer.refused().await
    }

    /// Has the registry take a blob over from another of its repositories.
    ///
    /// # Errors
    /// As the registry gives.
    pub async fn mount(&self, digest: &Digest, from: &Named) -> Result<Uploaded> {
        self.read_also(from.path()).await;
        let url = format!(
            "{}?mount={digest}&from={}",
            self.url("blobs/uploads/"),
            from.path()
        );
        let answer = self
            .send(Call::new(Method::POST, url))
            .await?
            .accepted()
            .await?;
        if answer.status() == StatusCode::CREATED {
            answer.collect(ANSWER_LIMIT).await?;
            return Ok(Uploaded::Mounted);
        }
        // It has begun an upload instead.
        if let Some(place) = answer.header(&LOCATION) {
            let place = absolute(answer.url(), place);
            answer.collect(ANSWER_LIMIT).await?;
            // What stays behind, the registry removes some day.
            let _ = self.send(Call::new(Method::DELETE, place)).await;
        }
        Ok(Uploaded::Refused)
    }

    /// Uploads a small blob.
    ///
    /// # Errors
    /// As the registry gives.
    pub async fn upload_bytes(&self, digest: &Digest, bytes: Vec<u8>) -> Result<()> {
        self.upload(digest, Body::Bytes(bytes.into())).await
    }

    /// Uploads a file as a blob; `progress` gets the bytes that were sent.
    ///
    /// # Errors
    /// As the registry gives.
    pub async fn upload_file(
        &self,
        digest: &Digest,
        path: &Path,
        length: u64,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<()> {
        let told = std::sync::atomic::AtomicU64::new(0);
        let sent = move |bytes: u64| {
            use std::sync::atomic::Ordering::Relaxed;
            // An upload that begins again begins at 0.
            if bytes.abs_diff(told.load(Relaxed)) >= STEP || bytes == length {
                told.store(bytes, Relaxed);
                progress(bytes);
            }
        };
        let body = Body::File {
            path: path.to_owned(),
            length,
            sent: Arc::new(sent),
        };
        self.upload(digest, body).await
    }

    async fn upload(&self, digest: &Digest, body: Body) -> Result<()> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.upload_once(digest, body.clone()).await {
                Err(error) if error.is_passing() && attempt < UPLOAD_ATTEMPTS => {
                    tracing::debug!("upload {digest}: {error}");
                    tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
                }
                other => return other,
            }
        }
    }

    /// `POST` for a place, then `PUT` there (OCI distribution, "POST then PUT").
    async fn upload_once(&self, digest: &Digest, body: Body) -> Result<()> {
        let call = Call::new(Method::POST, self.url("blobs/uploads/"));
        let answer = self.send(call).await?.accepted().await?;
        let Some(place) = answer.header(&LOCATION) else {
            return Err(Error::Invalid(
                "the registry names no place for an upload".into(),
            ));
        };
        let place = absolute(answer.url(), place);
        answer.collect(ANSWER_LIMIT).await?;
        let separator = if place.contains('?') { '&' } else { '?' };
        let call = Call::new(Method::PUT, format!("{place}{separator}digest={digest}"))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(body);
        let answer = self.send(call).await?.accepted().await?;
        answer.collect(ANSWER_LIMIT).await?;
        Ok(())
    }
}

impl Partial {
    async fn create(path: &Path) -> Result<Self> {
        let file = File::create_new(path)
            .await
            .map_err(Error::file(format!("make {}", path.display())))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            hasher: Sha256::new(),
            length: 0,
        })
    }

    fn failed(&self) -> impl FnOnce(std::io::Error) -> Error + use<> {
        Error::file(format!("write {}", self.path.display()))
    }

    async fn append(&mut self, piece: &[u8]) -> Result<()> {
        self.file.write_all(piece).await.map_err(self.failed())?;
        self.hasher.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        self.file.flush().await.map_err(self.failed())?;
        self.file.set_len(0).await.map_err(self.failed())?;
        self.file.rewind().await.map_err(self.failed())?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    async fn finish(mut self, blob: &Descriptor) -> Result<()> {
        self.file.flush().await.map_err(self.failed())?;
        if Digest::from_hasher(self.hasher) != blob.digest {
            return Err(Error::Invalid(format!(
                "filesystem layer verification failed for digest {}",
                blob.digest
            )));
        }
        Ok(())
    }
}

/// Whether an answer goes on where we are.
fn continues(answer: &Answer<'_>, length: u64) -> bool {
    const PREFIX: &str = "bytes ";
    let name: HeaderName = CONTENT_RANGE;
    let start = answer
        .header(&name)
        .and_then(|range| range.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
    answer.status() == StatusCode::PARTIAL_CONTENT && start == Some(length)
}
