//! What an engine had when a run began: two calls instead of two for each service, because at boot every call counts.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, ImageSummary};
use bollard::query_parameters::ListImagesOptionsBuilder;

use crate::Error;
use crate::engine::{Container, Engine};

/// The containers and images of an engine.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    containers: HashMap<String, Container>,
    /// By tag, `name:tag`, and by id.
    images: HashMap<String, String>,
}

impl Snapshot {
    /// Asks the engine.
    pub(crate) async fn of(engine: &Engine) -> Result<Self, Error> {
        let options = ListImagesOptionsBuilder::default().build();
        let (containers, images) = tokio::join!(
            engine.list(None),
            engine.docker().list_images(Some(options))
        );
        let images = images.map_err(|e| engine.failed("list", "images", e))?;
        Ok(Self::from_lists(containers?, images))
    }

    fn from_lists(containers: Vec<ContainerSummary>, images: Vec<ImageSummary>) -> Self {
        let mut snapshot = Self::default();
        for summary in containers {
            let container = Container {
                id: summary.id.unwrap_or_default(),
                running: matches!(
                    summary.state,
                    Some(
                        ContainerSummaryStateEnum::RUNNING
                            | ContainerSummaryStateEnum::PAUSED
                            | ContainerSummaryStateEnum::RESTARTING
                    )
                ),
                image: summary.image_id.unwrap_or_default(),
                labels: summary.labels.unwrap_or_default(),
            };
            // A container has further names where others link to it: "/web/db".
            let names = summary.names.unwrap_or_default();
            let own = names.iter().map(|n| n.trim_start_matches('/'));
            for name in own.filter(|name| !name.contains('/')) {
                snapshot.containers.insert(name.into(), container.clone());
            }
        }
        for image in images {
            for tag in image.repo_tags {
                snapshot.images.insert(tag, image.id.clone());
            }
            snapshot.images.insert(image.id.clone(), image.id);
        }
        snapshot
    }

    /// The container of that name. Nothing else makes containers of services, so there is no need to ask again.
    pub(crate) fn container(&self, name: &str) -> Option<&Container> {
        self.containers.get(name)
    }

    /// The id of an image named by id, or by name as engines list it; `None` does not mean that there is no such image.
    pub(crate) fn image_id(&self, name: &str) -> Option<&String> {
        self.images.get(name).or_else(|| {
            let last = name.rsplit('/').next().unwrap_or(name);
            match last.contains([':', '@']) {
                true => None,
                false => self.images.get(&format!("{name}:latest")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_taken_by_name() {
        let containers = json!([
            {"Id": "1", "Names": ["/web", "/front/backend"], "State": "running", "ImageID": "sha256:a", "Labels": {"k": "v"}},
            {"Id": "2", "Names": ["/job"], "State": "exited", "ImageID": "sha256:b", "Labels": {}},
        ]);
        let image = |id: &str, tags: &[&str]| {
            json!({"Id": id, "RepoTags": tags, "ParentId": "", "RepoDigests": [], "Created": 0, "Size": 0,
                "SharedSize": 0, "Labels": {}, "Containers": 0})
        };
        let images = json!([
            image("sha256:a", &["busybox:latest", "coracle/os-base:v1"]),
            image("sha256:b", &[])
        ]);
        let snapshot = Snapshot::from_lists(
            serde_json::from_value(containers).unwrap(),
            serde_json::from_value(images).unwrap(),
        );
        let web = Container {
            id: "1".into(),
            running: true,
            image: "sha256:a".into(),
            labels: [("k".to_string(), "v".to_string())].into(),
        };
        assert_eq!(snapshot.container("web"), Some(&web));
        assert_eq!(snapshot.container("job").map(|c| c.running), Some(false));
        assert_eq!(snapshot.container("backend"), None);
        let table = [
            ("busybox", Some("sha256:a")),
            ("busybox:latest", Some("sha256:a")),
            ("coracle/os-base:v1", Some("sha256:a")),
            ("coracle/os-base", None),
            ("sha256:b", Some("sha256:b")),
            ("docker.io/busybox:latest", None),
            ("host:5000/x", None),
        ];
        for (name, want) in table {
            assert_eq!(snapshot.image_id(name).map(String::as_str), want, "{name}");
        }
    }
}
