//! `docker pull`: layers come three at a time into a spool, are unpacked in their order by the store's helper, and
//! become an image with the last of them, or nothing.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Seek as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coracle_distribution::{Credentials, Downloaded, Error as RegistryError, Registry};
use coracle_image::manifest::{Content, Descriptor, Entry, ImageManifest};
use coracle_image::{Digest, ImageConfig, Incoming, Named, Platform, Received, Reference};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::{Progress, Report, Spool, about, check_name, ours, remember};
use crate::engine::{Engine, blocking};
use crate::error::Result;

/// Layers that come at once (Docker, `max-concurrent-downloads`).
const DOWNLOADS: usize = 3;
/// Attempts at a small document, and the pause after the first.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(250);
/// How often clients are told how far a layer is unpacked.
const EXTRACTING: Duration = Duration::from_millis(200);
/// Indexes in indexes that are followed.
const DEPTH: usize = 4;

/// What a client wants to have.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// The image; with neither tag nor digest, all tags of the repository.
    pub reference: Reference,
    /// Which of several platforms; the machine's when absent.
    pub platform: Option<Platform>,
    /// Who asks.
    pub credentials: Credentials,
}

impl Engine {
    /// Pulls images. Dropped, it stops and leaves nothing behind.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn pull(self: &Arc<Self>, request: &PullRequest, report: &Report) -> Result<()> {
        let mut reference = request.reference.clone();
        if reference.digest.is_some() {
            // The digest says it all.
            reference.tag = None;
        }
        check_name(&reference.name)?;
        let puller = Puller {
            engine: Arc::clone(self),
            name: reference.name.clone(),
            platform: request.platform.clone(),
            report: report.clone(),
        };
        let mut attempts = self.attempts(&reference.name, &request.credentials, false);
        let is_new = loop {
            let registry = attempts
                .next()
                .await
                .map_err(|error| about(&reference, error))?;
            match puller.pull(&registry, &reference).await {
                Ok(is_new) => break is_new,
                Err(error) => attempts
                    .failed(error)
                    .map_err(|error| about(&reference, error))?,
            }
        };
        let shown = reference.familiar();
        puller.report.tell(Progress::message(
            "",
            if is_new {
                format!("Status: Downloaded newer image for {shown}")
            } else {
                format!("Status: Image is up to date for {shown}")
            },
        ));
        self.image_event("pull", &shown, &reference.name.familiar());
        Ok(())
    }
}

struct Puller {
    engine: Arc<Engine>,
    name: Named,
    platform: Option<Platform>,
    report: Report,
}

impl Puller {
    /// Whether anything changed.
    async fn pull(
        &self,
        registry: &Arc<Registry>,
        reference: &Reference,
    ) -> Result<bool, RegistryError> {
        if reference.tag.is_some() || reference.digest.is_some() {
            return self.pull_one(registry, reference).await;
        }
        let mut is_new = false;
        for tag in registry.tags().await? {
            let reference = Reference {
                tag: Some(tag),
                ..reference.clone()
            };
            is_new |= self.pull_one(registry, &reference).await?;
        }
        Ok(is_new)
    }

    async fn pull_one(
        &self,
        registry: &Arc<Registry>,
        reference: &Reference,
    ) -> Result<bool, RegistryError> {
        let (wanted, shown) = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => (digest.to_string(), reference.to_string()),
            (None, tag) => {
                let tag = tag.clone().unwrap_or_default();
                (tag.clone(), tag)
            }
        };
        let found = registry.manifest(&wanted).await?;
        let content = Content::parse(&found.content_type, &found.bytes)?;
        if content == Content::Schema1 {
            return Err(deprecated(reference));
        }
        let text = format!("Pulling from {}", self.name.path());
        self.report.tell(Progress::message(shown, text));
        let manifest = self.choose(registry, reference, content).await?;
        let by_digest = Reference {
            name: self.name.clone(),
            tag: None,
            digest: Some(found.digest.clone()),
        };
        let mut names = vec![by_digest];
        if reference.tag.is_some() {
            names.insert(0, reference.clone());
        }
        let received = self.fetch(registry, &manifest, names).await?;
        self.report
            .tell(Progress::message("", format!("Digest: {}", found.digest)));
        Ok(received.is_new)
    }

    /// The manifest of an image for the platform that is wanted.
    async fn choose(
        &self,
        registry: &Registry,
        reference: &Reference,
        mut content: Content,
    ) -> Result<ImageManifest, RegistryError> {
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        for _ in 0..DEPTH {
            let entries = match content {
                Content::Image(manifest) => return Ok(manifest),
                Content::Schema1 => return Err(deprecated(reference)),
                Content::Index(entries) => entries,
            };
            let Some(entry) = Entry::best(entries, &platform) else {
                break;
            };
            let digest = entry.descriptor.digest.to_string();
            let found = registry.manifest(&digest).await?;
            content = Content::parse(&found.content_type, &found.bytes)?;
        }
        Err(RegistryError::Invalid(format!(
            "no matching manifest for {platform} in the manifest list entries"
        )))
    }

    /// Makes the image, unless the store has it, and names it.
    async fn fetch(
        &self,
        registry: &Arc<Registry>,
        manifest: &ImageManifest,
        names: Vec<Reference>,
    ) -> Result<Received, RegistryError> {
        let spool = Spool::open(&self.engine.images).await?;
        let result = self.fetch_into(&spool, registry, manifest, names).await;
        spool.close().await;
        result
    }

    async fn fetch_into(
        &self,
        spool: &Spool,
        registry: &Arc<Registry>,
        manifest: &ImageManifest,
        names: Vec<Reference>,
    ) -> Result<Received, RegistryError> {
        let id = manifest.config.digest.clone();
        let config = if self.engine.images.get(&id.to_string()).is_ok() {
            None
        } else {
            let config = document(registry, &manifest.config).await?;
            self.fetch_layers(registry, manifest, &config, &spool.incoming()?)
                .await?;
            Some(config)
        };
        let incoming = spool.incoming()?;
        ours(blocking(move || incoming.finish(&id, config.as_deref(), &names)).await)
    }

    async fn fetch_layers(
        &self,
        registry: &Arc<Registry>,
        manifest: &ImageManifest,
        config: &[u8],
        incoming: &Arc<Incoming>,
    ) -> Result<(), RegistryError> {
        let config: ImageConfig = serde_json::from_slice(config).map_err(unusable)?;
        if !matches!(config.os.as_str(), "linux" | "") {
            return Err(RegistryError::Invalid(format!(
                "cannot download image with operating system \"{}\" when requesting \"linux\"",
                config.os
            )));
        }
        let diff_ids = config.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(RegistryError::Invalid(
                "layers from manifest don't match image configuration".into(),
            ));
        }
        let layers = self.missing(incoming, manifest, &diff_ids).await?;
        let mut downloads = self.download(registry, incoming, &layers);
        let unpacked = self
            .unpack_all(incoming, &layers, &mut downloads.results)
            .await;
        // None writes into the spool any more.
        downloads.tasks.shutdown().await;
        unpacked?;
        for (blob, diff_id) in manifest.layers.iter().zip(&diff_ids) {
            remember(&self.engine.images, &self.name, blob, diff_id).await;
        }
        Ok(())
    }

    /// Unpacks layers in their order, as they arrive.
    async fn unpack_all(
        &self,
        incoming: &Arc<Incoming>,
        layers: &[(Descriptor, Digest)],
        results: &mut mpsc::UnboundedReceiver<Arrival>,
    ) -> Result<(), RegistryError> {
        let mut arrived = BTreeMap::new();
        for (number, (blob, diff_id)) in layers.iter().enumerate() {
            let path = loop {
                if let Some(path) = arrived.remove(&number) {
                    break path;
                }
                let Some((number, result)) = results.recv().await else {
                    return Err(RegistryError::Invalid("a download has ended early".into()));
                };
                arrived.insert(number, result?);
            };
            self.unpack(incoming, path, blob, diff_id).await?;
        }
        Ok(())
    }

    /// The layers that are not here, each once; clients are told about all.
    async fn missing(
        &self,
        incoming: &Arc<Incoming>,
        manifest: &ImageManifest,
        diff_ids: &[Digest],
    ) -> Result<Vec<(Descriptor, Digest)>, RegistryError> {
        let (incoming, wanted) = (Arc::clone(incoming), diff_ids.to_vec());
        let here: Vec<bool> = ours(
            blocking(move || {
                wanted
                    .iter()
                    .map(|diff_id| incoming.has_layer(diff_id))
                    .collect()
            })
            .await
            .map(Ok),
        )?;
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        for ((blob, diff_id), here) in manifest.layers.iter().zip(diff_ids).zip(here) {
            if !seen.insert((&blob.digest, diff_id)) {
                continue;
            }
            if here {
                self.report
                    .tell(Progress::layer(&blob.digest, "Already exists"));
                continue;
            }
            self.report
                .tell(Progress::layer(&blob.digest, "Pulling fs layer"));
            missing.push((blob.clone(), diff_id.clone()));
        }
        for (blob, _) in missing.iter().skip(DOWNLOADS) {
            self.report.tell(Progress::layer(&blob.digest, "Waiting"));
        }
        Ok(missing)
    }

    fn download(
        &self,
        registry: &Arc<Registry>,
        incoming: &Incoming,
        layers: &[(Descriptor, Digest)],
    ) -> Downloads {
        let places = Arc::new(Semaphore::new(DOWNLOADS));
        let (sender, results) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for (number, (blob, _)) in layers.iter().enumerate() {
            let (registry, places) = (Arc::clone(registry), Arc::clone(&places));
            let (sender, report) = (sender.clone(), self.report.clone());
            let path = incoming.spool().join(number.to_string());
            let blob = blob.clone();
            tasks.spawn(async move {
                // Nobody closes it.
                let _place = places.acquire().await;
                let result = download_one(&registry, &blob, &path, &report).await;
                // The pull may have failed for another layer.
                let _ = sender.send((number, result.map(|()| path)));
            });
        }
        Downloads { results, tasks }
    }

    async fn unpack(
        &self,
        incoming: &Arc<Incoming>,
        path: PathBuf,
        blob: &Descriptor,
        diff_id: &Digest,
    ) -> Result<(), RegistryError> {
        let failed =
            |text: String| RegistryError::Invalid(format!("failed to register layer: {text}"));
        let file = File::open(&path).map_err(|error| failed(error.to_string()))?;
        // The helper's descriptor and this one have one position.
        let mut position = file
            .try_clone()
            .map_err(|error| failed(error.to_string()))?;
        let (incoming, reaper) = (Arc::clone(incoming), Arc::clone(&self.engine.reaper));
        let wanted = diff_id.clone();
        let mut unpacked = pin!(blocking(move || -> Result<(), String> {
            let result = incoming.add_layer(file, &wanted, reaper.as_ref());
            // The rest of the pull needs the place.
            let _ = std::fs::remove_file(&path);
            result.map_err(|error| error.to_string())
        }));
        let extracting = |done| Progress::part(&blob.digest, "Extracting", done, blob.size);
        let mut ticks = tokio::time::interval(EXTRACTING);
        let result = loop {
            tokio::select! {
                result = &mut unpacked => break result,
                _ = ticks.tick() => {
                    if let Ok(done) = position.stream_position() {
                        self.report.tell(extracting(done));
                    }
                }
            }
        };
        result
            .map_err(|error| failed(error.to_string()))?
            .map_err(failed)?;
        self.report.tell(extracting(blob.size));
        self.report
            .tell(Progress::layer(&blob.digest, "Pull complete"));
        Ok(())
    }
}

/// The number of a layer, and the file that has it.
type Arrival = (usize, Result<PathBuf, RegistryError>);

/// Downloads under way; dropped, they stop.
struct Downloads {
    results: mpsc::UnboundedReceiver<Arrival>,
    tasks: JoinSet<()>,
}

async fn download_one(
    registry: &Registry,
    blob: &Descriptor,
    path: &std::path::Path,
    report: &Report,
) -> Result<(), RegistryError> {
    let note = |event| {
        report.tell(match event {
            Downloaded::Bytes(bytes) => {
                Progress::part(&blob.digest, "Downloading", bytes, blob.size)
            }
            Downloaded::Retry(seconds) => {
                let unit = if seconds == 1 { "second" } else { "seconds" };
                Progress::layer(&blob.digest, format!("Retrying in {seconds} {unit}"))
            }
            Downloaded::Whole => Progress::layer(&blob.digest, "Verifying Checksum"),
        });
    };
    registry.download(blob, path, note).await?;
    report.tell(Progress::layer(&blob.digest, "Download complete"));
    Ok(())
}

/// A small blob; what fails in passing is tried again.
async fn document(registry: &Registry, blob: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS {
        match registry.document(blob).await {
            Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
            other => return other,
        }
        pause *= 2;
    }
    registry.document(blob).await
}

/// Docker's former image format.
pub(super) fn deprecated(reference: &Reference) -> RegistryError {
    RegistryError::Invalid(format!(
        "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the author \
         of {reference} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at \
         https://docs.docker.com/go/deprecated-image-specs/"
    ))
}

pub(super) fn unusable(error: serde_json::Error) -> RegistryError {
    RegistryError::Invalid(format!("image configuration: {error}"))
}
