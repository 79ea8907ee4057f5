//! `docker import`: an image of one layer, from any archive.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bollard_stubs::models::ContainerConfig;
use coracle_image::config::{History, RootFs};
use coracle_image::{Digest, ImageConfig, Platform, Reference};

use crate::commit;
use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::time;

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The image's name; none is fine.
    pub name: Option<Reference>,
    /// What it is said to run on; the machine's when absent.
    pub platform: Option<Platform>,
    /// Comment in the history.
    pub comment: String,
    /// Dockerfile instructions, a line each.
    pub changes: Vec<String>,
}

impl Engine {
    /// Makes an image of an archive from a pipe, compressed or not; gives its id. At the end of the pipe `is_whole` says
    /// whether that is the archive's end.
    ///
    /// # Errors
    /// What is wrong with the archive.
    pub async fn import_image(
        &self,
        request: ImportRequest,
        input: OwnedFd,
        is_whole: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<Digest> {
        if request
            .name
            .as_ref()
            .is_some_and(|name| name.digest.is_some())
        {
            return Err(Error::Invalid("cannot import digest reference".into()));
        }
        let platform = request.platform.unwrap_or_else(Platform::host);
        if platform.os != "linux" {
            return Err(Error::Invalid(format!(
                "operating system is not supported: {}",
                platform.os
            )));
        }
        let defaults = commit::changed(ContainerConfig::default(), &request.changes)?;
        let (store, reaper) = (Arc::clone(&self.images), Arc::clone(&self.reaper));
        let name = request.name.map(Reference::with_default_tag);
        let shown = name.as_ref().map(Reference::familiar);
        let imported = blocking(move || -> Result<Digest> {
            let incoming = store.receive()?;
            // First as a whole: nothing of the store waits for a slow client.
            let path = incoming.spool().join("archive");
            let mut archive =
                File::create_new(&path).doing(|| format!("make {}", path.display()))?;
            io::copy(&mut File::from(input), &mut archive)
                .doing(|| format!("write {}", path.display()))?;
            if !is_whole() {
                return Err(Error::Invalid("the archive was cut on its way".into()));
            }
            let archive = File::open(&path).doing(|| format!("open {}", path.display()))?;
            let diff_id = incoming.import_layer(archive, reaper.as_ref())?;
            let config = ImageConfig {
                config: commit::defaults(&defaults),
                ..configuration(&platform, diff_id, request.comment)
            };
            let config = serde_json::to_vec(&config)
                .map_err(|error| Error::Internal(format!("write the configuration: {error}")))?;
            let id = Digest::of(&config);
            let names: Vec<_> = name.into_iter().collect();
            incoming.finish(&id, Some(&config), &names)?;
            Ok(id)
        });
        let id = imported.await??;
        let text = id.to_string();
        if let Some(name) = shown {
            self.image_event("tag", &text, &name);
        }
        self.image_event("import", &text, &text);
        Ok(id)
    }
}

fn configuration(platform: &Platform, diff_id: Digest, comment: String) -> ImageConfig {
    let created = Some(time::now());
    ImageConfig {
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os: platform.os.clone(),
        created: created.clone(),
        rootfs: RootFs {
            kind: "layers".into(),
            diff_ids: vec![diff_id],
        },
        history: vec![History {
            created,
            comment,
            ..History::default()
        }],
        ..ImageConfig::default()
    }
}
