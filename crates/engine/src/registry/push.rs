//! `docker push`: layers that the registry lacks are packed as they were, compressed, and sent; then the manifest.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use coracle_distribution::{Credentials, Error as RegistryError, Reason, Registry, Uploaded};
use coracle_image::manifest::{Descriptor, ImageManifest, media_type};
use coracle_image::{Digest, Image, Incoming, Named, Origin, Reference, Store};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Progress, Report, Spool, ours};
use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};

/// Layers that are packed and sent at once. Docker has 5; here each takes a processor for its compression.
const UPLOADS: usize = 2;
/// Other repositories that are asked for a layer.
const CANDIDATES: usize = 4;

/// What a client wants to send.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// The image; without a tag, all tags of the repository.
    pub reference: Reference,
    /// Who asks.
    pub credentials: Credentials,
}

impl Engine {
    /// Pushes images. Dropped, it stops.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn push(self: &Arc<Self>, request: &PushRequest, report: &Report) -> Result<()> {
        let reference = &request.reference;
        let text = format!("The push refers to repository [{}]", reference.name);
        report.tell(Progress::message("", text));
        let images = self.images_to_push(reference).await?;
        let mut attempts = self.attempts(&reference.name, &request.credentials, true);
        loop {
            let registry = attempts.next().await.map_err(failed)?;
            let pusher = Pusher {
                store: Arc::clone(&self.images),
                name: reference.name.clone(),
                registry,
                report: report.clone(),
            };
            match pusher.push(&images).await {
                Ok(()) => break,
                Err(error) => attempts.failed(error).map_err(failed)?,
            }
        }
        let shown = reference.familiar();
        self.image_event("push", &shown, &reference.name.familiar());
        Ok(())
    }

    /// The images with the tags that are asked for.
    async fn images_to_push(&self, reference: &Reference) -> Result<Vec<(String, Image)>> {
        let invalid = |text: String| Error::Invalid(text);
        if reference.digest.is_some() {
            return Err(invalid("cannot push a digest reference".into()));
        }
        let mut all = Vec::new();
        for image in self.images().await? {
            for tag in &image.tags {
                if let Ok(known) = Reference::parse(tag)
                    && known.name == reference.name
                    && let Some(tag) = known.tag
                {
                    all.push((tag, image.clone()));
                }
            }
        }
        if all.is_empty() {
            return Err(invalid(format!(
                "An image does not exist locally with the tag: {}",
                reference.name.familiar()
            )));
        }
        if let Some(wanted) = &reference.tag {
            all.retain(|(tag, _)| tag == wanted);
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        if all.is_empty() {
            return Err(invalid(format!(
                "tag does not exist: {}",
                reference.familiar()
            )));
        }
        Ok(all)
    }
}

#[derive(Clone)]
struct Pusher {
    store: Arc<Store>,
    name: Named,
    registry: Arc<Registry>,
    report: Report,
}

impl Pusher {
    async fn push(&self, images: &[(String, Image)]) -> Result<(), RegistryError> {
        for (tag, image) in images {
            self.push_image(tag, image).await?;
        }
        Ok(())
    }

    async fn push_image(&self, tag: &str, image: &Image) -> Result<(), RegistryError> {
        let spool = Spool::open(&self.store).await?;
        let result = self.push_from(&spool, tag, image).await;
        spool.close().await;
        result
    }

    async fn push_from(
        &self,
        spool: &Spool,
        tag: &str,
        image: &Image,
    ) -> Result<(), RegistryError> {
        let layers = self
            .push_layers(spool, &image.config.rootfs.diff_ids)
            .await?;
        let (store, id) = (Arc::clone(&self.store), image.id.clone());
        let config = ours(blocking(move || store.config_bytes(&id)).await)?;
        let described = Descriptor {
            media_type: media_type::DOCKER_CONFIG.to_owned(),
            size: config.len() as u64,
            digest: image.id.clone(),
        };
        if self.registry.blob_size(&image.id).await?.is_none() {
            self.registry.upload_bytes(&image.id, config).await?;
        }
        let manifest = ImageManifest::new(described, layers).render();
        let (digest, size) = (Digest::of(&manifest), manifest.len() as u64);
        self.registry
            .put_manifest(tag, media_type::DOCKER_MANIFEST, manifest)
            .await?;
        let text = format!("{tag}: digest: {digest} size: {size}");
        self.report.tell(Progress::message("", text));
        let by_digest = Reference {
            name: self.name.clone(),
            tag: None,
            digest: Some(digest.clone()),
        };
        let (incoming, id) = (spool.incoming()?, image.id.clone());
        ours(blocking(move || incoming.finish(&id, None, &[by_digest])).await)?;
        self.report.tell(Progress::Pushed {
            tag: tag.to_owned(),
            digest,
            size,
        });
        Ok(())
    }

    /// Gives the blobs of the layers, in their order.
    async fn push_layers(
        &self,
        spool: &Spool,
        diff_ids: &[Digest],
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let mut unique: Vec<&Digest> = Vec::new();
        // The uppermost first, as Docker shows them.
        for diff_id in diff_ids.iter().rev() {
            if !unique.contains(&diff_id) {
                unique.push(diff_id);
                self.report.tell(Progress::layer(diff_id, "Preparing"));
            }
        }
        for diff_id in unique.iter().skip(UPLOADS) {
            self.report.tell(Progress::layer(diff_id, "Waiting"));
        }
        let places = Arc::new(Semaphore::new(UPLOADS));
        let mut tasks = JoinSet::new();
        for diff_id in unique {
            let (pusher, incoming) = (self.clone(), spool.incoming()?);
            let (places, diff_id) = (Arc::clone(&places), diff_id.clone());
            tasks.spawn(async move {
                // Nobody closes it.
                let _place = places.acquire().await;
                let blob = pusher.push_layer(&incoming, &diff_id).await?;
                Ok::<_, RegistryError>((diff_id, blob))
            });
        }
        let blobs = all(&mut tasks).await;
        // None uses the spool any more.
        tasks.shutdown().await;
        let blobs = blobs?;
        Ok(diff_ids
            .iter()
            .filter_map(|diff_id| blobs.get(diff_id).cloned())
            .collect())
    }

    async fn push_layer(
        &self,
        incoming: &Arc<Incoming>,
        diff_id: &Digest,
    ) -> Result<Descriptor, RegistryError> {
        let held = (Arc::clone(incoming), diff_id.clone());
        // So that it is not removed meanwhile.
        let here = blocking(move || held.0.can_pack(&held.1)).await;
        if !here.unwrap_or(false) {
            return Err(RegistryError::Invalid(format!(
                "layer {diff_id} is not in the store: it cannot be pushed"
            )));
        }
        let origins = self.store.origins(diff_id);
        let usable = |origin: &&Origin| is_plain_gzip(&origin.media_type);
        let known = origins.iter().filter(usable);
        if let Some((blob, action)) = self.find(known).await? {
            self.report.tell(Progress::layer(diff_id, action));
            self.remember(diff_id, &blob).await;
            return Ok(blob);
        }
        let path = incoming.spool().join(diff_id.hex());
        let blob = self.pack(diff_id, &path).await?;
        if self.registry.blob_size(&blob.digest).await?.is_some() {
            self.report
                .tell(Progress::layer(diff_id, "Layer already exists"));
        } else {
            let (report, shown, all) = (self.report.clone(), diff_id.clone(), blob.size);
            let note = move |sent| report.tell(Progress::part(&shown, "Pushing", sent, all));
            self.registry
                .upload_file(&blob.digest, &path, blob.size, note)
                .await?;
            self.report.tell(Progress::layer(diff_id, "Pushed"));
        }
        // What stays behind goes with the spool.
        let _ = tokio::fs::remove_file(&path).await;
        self.remember(diff_id, &blob).await;
        Ok(blob)
    }

    /// A blob that the repository has, or can take over from another one.
    async fn find(
        &self,
        origins: impl Iterator<Item = &Origin>,
    ) -> Result<Option<(Descriptor, String)>, RegistryError> {
        let blob = |origin: &Origin| Descriptor {
            media_type: media_type::DOCKER_LAYER.to_owned(),
            size: origin.size,
            digest: origin.digest.clone(),
        };
        let name = self.name.to_string();
        // Those of the repository itself first.
        let (own, others): (Vec<_>, Vec<_>) = origins.partition(|origin| origin.repository == name);
        for origin in own.into_iter().chain(others).take(CANDIDATES) {
            if self.registry.blob_size(&origin.digest).await?.is_some() {
                return Ok(Some((blob(origin), "Layer already exists".to_owned())));
            }
            let Ok(Reference { name: from, .. }) = Reference::parse(&origin.repository) else {
                continue;
            };
            if from == self.name || from.domain() != self.name.domain() {
                continue;
            }
            match self.registry.mount(&origin.digest, &from).await {
                Ok(Uploaded::Mounted) => {
                    let action = format!("Mounted from {}", from.path());
                    return Ok(Some((blob(origin), action)));
                }
                Ok(Uploaded::Refused) => {}
                // Perhaps it may not be read: then it is sent.
                Err(error) => tracing::debug!("mount {} from {from}: {error}", origin.digest),
            }
        }
        Ok(None)
    }

    /// Packs a layer into a file, compressed.
    async fn pack(&self, diff_id: &Digest, path: &Path) -> Result<Descriptor, RegistryError> {
        let (store, diff_id, path) = (Arc::clone(&self.store), diff_id.clone(), path.to_owned());
        let packed = blocking(move || store.pack_layer(&diff_id, &path));
        let (digest, size) = ours(packed.await)?;
        Ok(Descriptor {
            media_type: media_type::DOCKER_LAYER.to_owned(),
            size,
            digest,
        })
    }

    async fn remember(&self, diff_id: &Digest, blob: &Descriptor) {
        super::remember(&self.store, &self.name, blob, diff_id).await;
    }
}

/// What tasks give, or the first error of one.
async fn all(
    tasks: &mut JoinSet<Result<(Digest, Descriptor), RegistryError>>,
) -> Result<HashMap<Digest, Descriptor>, RegistryError> {
    let mut blobs = HashMap::new();
    while let Some(result) = tasks.join_next().await {
        let ended = |error| RegistryError::Invalid(format!("a layer's task failed: {error}"));
        let (diff_id, blob) = result.map_err(ended)??;
        blobs.insert(diff_id, blob);
    }
    Ok(blobs)
}

/// Whether a blob can stand in a manifest as Docker's layer.
fn is_plain_gzip(media_type: &str) -> bool {
    matches!(
        media_type,
        media_type::DOCKER_LAYER | "application/vnd.oci.image.layer.v1.tar+gzip"
    )
}

/// An error of a registry, in Docker's words.
fn failed(error: RegistryError) -> Error {
    match error {
        RegistryError::Request {
            reason: reason @ Reason::NoCredentials,
            ..
        } => Error::Unauthorized(reason.to_string()),
        other => Error::Registry(other.to_string()),
    }
}
