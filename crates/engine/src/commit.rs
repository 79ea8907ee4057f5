//! `docker commit`: a container's files and configuration as an image.

mod changes;

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard_stubs::models::ContainerConfig;
use coracle_image::config::{ContainerDefaults, History};
use coracle_image::{Commit, ImageConfig, Reference};

use crate::changes::MOUNT_POINTS;
use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::record::Status;
use crate::{health, image_defaults, time};

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Repository; empty for an image without a name.
    pub repository: String,
    /// Tag; empty is `latest`.
    pub tag: String,
    /// Comment in the history.
    pub comment: String,
    /// Who.
    pub author: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Dockerfile instructions, a line each.
    pub changes: Vec<String>,
    /// Configuration that wins over the container's.
    pub config: ContainerConfig,
}

impl Engine {
    /// Makes an image of a container; gives its id.
    ///
    /// # Errors
    /// Docker's texts.
    pub async fn commit(
        self: &Arc<Self>,
        reference: &str,
        request: CommitRequest,
    ) -> Result<String> {
        let container = self.find(reference)?;
        let name = commit_name(&request)?;
        let config = changed(request.config.clone(), &request.changes)?;
        let guard = container.operation.lock().await;
        let freeze = request.pause && container.data().state.status == Status::Running;
        if freeze {
            self.freeze(&container, true).await?;
        }
        let (engine, target, shown) = (Arc::clone(self), Arc::clone(&container), name.clone());
        let comment = request.comment.clone();
        let result =
            blocking(move || engine.commit_files(&target, config, &request, name.as_ref())).await;
        if freeze && container.data().state.status == Status::Running {
            self.freeze(&container, false).await?;
        }
        drop(guard);
        let id = result??;
        let shown = shown.map(|name| name.familiar()).unwrap_or_default();
        if !shown.is_empty() {
            self.image_event("tag", &id, &shown);
        }
        self.container_event(
            &container,
            "commit",
            &[
                ("comment", comment),
                ("imageID", id.clone()),
                ("imageRef", shown),
            ],
        );
        Ok(id)
    }

    fn commit_files(
        &self,
        container: &Arc<Container>,
        mut config: ContainerConfig,
        request: &CommitRequest,
        name: Option<&Reference>,
    ) -> Result<String> {
        let record = container.data().record.clone();
        // Whose files they are decides what they lie over.
        let owner = self.root_owner(container)?;
        let image_id = owner.data().record.image_id.clone();
        let base = self.images.get(&image_id)?.config;
        let own = ImageConfig {
            config: defaults(&record.config),
            ..ImageConfig::default()
        };
        image_defaults::merge(&mut config, &own);
        let created = Some(time::now());
        let commit = Commit {
            config: ImageConfig {
                created: created.clone(),
                author: request.author.clone(),
                config: defaults(&config),
                ..base
            },
            step: History {
                created,
                created_by: record.command().join(" "),
                author: request.author.clone(),
                comment: request.comment.clone(),
                empty_layer: false,
            },
            upper: &owner.file("upper"),
            mount_points: MOUNT_POINTS,
            name,
        };
        Ok(self
            .images
            .commit(commit, self.reaper.as_ref())?
            .to_string())
    }
}

fn commit_name(request: &CommitRequest) -> Result<Option<Reference>> {
    if request.repository.is_empty() {
        return Ok(None);
    }
    let name = Reference::parse(&request.repository)?;
    if name.digest.is_some() {
        return Err(Error::Invalid(
            "cannot commit to digest reference".to_owned(),
        ));
    }
    if request.tag.is_empty() {
        return Ok(Some(name.with_default_tag()));
    }
    let text = format!("{}:{}", name.name, request.tag);
    Ok(Some(Reference::parse(&text)?))
}

/// A configuration after Dockerfile instructions.
///
/// # Errors
/// Docker's texts.
pub(crate) fn changed(mut config: ContainerConfig, lines: &[String]) -> Result<ContainerConfig> {
    changes::apply(&mut config, &lines.join("\n"))?;
    if let Some(check) = &config.healthcheck {
        health::validate(check)?;
    }
    Ok(config)
}

/// A container's configuration as an image holds it.
pub(crate) fn defaults(config: &ContainerConfig) -> ContainerDefaults {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let set = |list: &Option<Vec<String>>| -> BTreeMap<_, _> {
        let empty = || serde_json::json!({});
        let entries = list.iter().flatten();
        entries.map(|entry| (entry.clone(), empty())).collect()
    };
    ContainerDefaults {
        user: text(&config.user),
        exposed_ports: set(&config.exposed_ports),
        env: config.env.clone().unwrap_or_default(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        volumes: set(&config.volumes),
        working_dir: text(&config.working_dir),
        labels: config
            .labels
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
        stop_signal: text(&config.stop_signal),
        healthcheck: config
            .healthcheck
            .as_ref()
            .and_then(|check| serde_json::to_value(check).ok()),
        shell: config.shell.clone(),
        on_build: config.on_build.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_tag_and_no_digest() {
        let name = |repository: &str, tag: &str| {
            let request = CommitRequest {
                repository: repository.into(),
                tag: tag.into(),
                ..CommitRequest::default()
            };
            commit_name(&request)
                .map(|name| name.map(|name| name.familiar()))
                .map_err(|error| error.to_string())
        };
        assert_eq!(name("", "ignored"), Ok(None));
        assert_eq!(name("app", ""), Ok(Some("app:latest".into())));
        assert_eq!(name("me/app", "v1"), Ok(Some("me/app:v1".into())));
        let digest = format!("app@sha256:{}", "0".repeat(64));
        assert_eq!(
            name(&digest, ""),
            Err("cannot commit to digest reference".into())
        );
        assert_eq!(
            name("App", ""),
            Err("invalid reference format: repository name (library/App) must be lowercase".into())
        );
    }
}
