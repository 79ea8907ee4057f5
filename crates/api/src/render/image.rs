//! Images.

use std::collections::HashMap;

use coracle_image::{Image, Loaded, Removed};
use serde_json::{Value, json};

use super::{complete, defaults, sorted, unix_seconds};
use crate::version::ApiVersion;

/// API versions before this one gave the size twice.
const SINGLE_SIZE: ApiVersion = ApiVersion::new(1, 44);

/// An entry of `GET /images/json`. `shared` is -1 unless it was counted.
pub fn summary(image: &Image, containers: usize, shared: i64, version: ApiVersion) -> Value {
    let mut out = json!({
        "Containers": containers,
        "Created": unix_seconds(created(image)),
        "Id": image.id.to_string(),
        "Labels": if image.config.config.labels.is_empty() { Value::Null } else { sorted(&image.config.config.labels) },
        "ParentId": "",
        "RepoDigests": image.digests,
        "RepoTags": image.tags,
        "SharedSize": shared,
        "Size": image.size,
    });
    if version < SINGLE_SIZE {
        out["VirtualSize"] = image.size.into();
    }
    out
}

/// The whole object: `GET /images/{name}/json`.
pub fn inspect(image: &Image, version: ApiVersion) -> Value {
    let config = &image.config;
    let lower: Vec<_> = image
        .layers
        .iter()
        .rev()
        .map(|layer| layer.display().to_string())
        .collect();
    let layers: Vec<_> = config
        .rootfs
        .diff_ids
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut out = json!({
        "Id": image.id.to_string(),
        "RepoTags": image.tags,
        "RepoDigests": image.digests,
        "Parent": "",
        "Comment": config.history.last().map_or("", |step| step.comment.as_str()),
        "Created": created(image),
        "DockerVersion": config.docker_version,
        "Author": config.author,
        "Config": complete(defaults::image_config(), &config.config),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size,
        "GraphDriver": {"Name": "overlay2", "Data": {"LowerDir": lower.join(":")}},
        "RootFS": {"Type": "layers", "Layers": layers},
        "Metadata": {"LastTagTime": coracle_engine::time::NEVER},
    });
    if version < SINGLE_SIZE {
        out["VirtualSize"] = image.size.into();
    }
    if !config.variant.is_empty() {
        out["Variant"] = config.variant.as_str().into();
    }
    out
}

/// `GET /images/{name}/history`, newest step first.
pub fn history(image: &Image) -> Value {
    let mut sizes = image.layer_sizes.iter();
    let mut out: Vec<Value> = Vec::new();
    for step in &image.config.history {
        let size = if step.empty_layer {
            0
        } else {
            sizes.next().copied().unwrap_or(0)
        };
        out.push(json!({
            "Comment": step.comment,
            "Created": unix_seconds(step.created.as_deref().unwrap_or_default()),
            "CreatedBy": step.created_by,
            "Id": "<missing>",
            "Size": size,
            "Tags": null,
        }));
    }
    if out.is_empty() {
        let time = unix_seconds(created(image));
        out.push(json!({"Comment": "", "Created": time, "CreatedBy": "", "Size": image.size}));
    }
    if let Some(newest) = out.last_mut() {
        newest["Id"] = image.id.to_string().into();
        newest["Tags"] = if image.tags.is_empty() {
            Value::Null
        } else {
            json!(image.tags)
        };
    }
    out.reverse();
    Value::Array(out)
}

/// The answer to `DELETE /images/{name}`.
pub fn removed(items: &[Removed]) -> Value {
    let item = |item: &Removed| match item {
        Removed::Untagged(name) => json!({ "Untagged": name }),
        Removed::Deleted(digest) => json!({ "Deleted": digest.to_string() }),
    };
    Value::Array(items.iter().map(item).collect())
}

/// Lines of the answer to `POST /images/load`.
pub fn loaded(items: &[Loaded]) -> Vec<Value> {
    let lines = items.iter().flat_map(Loaded::lines);
    lines
        .map(|line| json!({ "stream": format!("{line}\n") }))
        .collect()
}

/// A failure in the middle of a stream of progress.
pub fn failure(message: &str) -> Value {
    json!({"errorDetail": {"message": message}, "error": message})
}

/// An image's labels.
pub fn labels(image: &Image) -> HashMap<String, String> {
    image.config.config.labels.clone().into_iter().collect()
}

/// When an image was made, RFC 3339.
pub fn created(image: &Image) -> &str {
    image
        .config
        .created
        .as_deref()
        .unwrap_or(coracle_engine::time::NEVER)
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{ImageHistoryResponseItem, ImageInspect, ImageSummary};
    use coracle_image::config::History;
    use coracle_image::{Digest, ImageConfig};

    use super::*;

    fn example() -> Image {
        let step = |created_by: &str, empty_layer| History {
            created: Some("2023-11-14T22:13:20Z".into()),
            created_by: created_by.into(),
            empty_layer,
            ..History::default()
        };
        let mut config = ImageConfig {
            os: "linux".into(),
            architecture: "amd64".into(),
            created: Some("2023-11-14T22:13:20Z".into()),
            history: vec![
                step("ADD rootfs", false),
                step("CMD sh", true),
                step("COPY x", false),
            ],
            ..ImageConfig::default()
        };
        config.config.cmd = Some(vec!["sh".into()]);
        config.config.labels = [("a".to_owned(), "b".to_owned())].into();
        config.rootfs.diff_ids = vec![Digest::of(b"layer")];
        Image {
            id: Digest::of(b"config"),
            config,
            tags: vec!["busybox:latest".into()],
            digests: Vec::new(),
            layers: vec!["/l/low".into(), "/l/high".into()],
            layer_sizes: vec![100, 20],
            size: 120,
            bundled: false,
        }
    }

    #[test]
    fn objects_fit_the_models() {
        let listed: ImageSummary =
            serde_json::from_value(summary(&example(), 1, -1, ApiVersion::NEWEST)).unwrap();
        assert_eq!(
            (listed.size, listed.created, listed.labels["a"].as_str()),
            (120, 1_700_000_000, "b")
        );
        assert_eq!(
            summary(&example(), 1, -1, ApiVersion::OLDEST)["VirtualSize"],
            120
        );
        let value = inspect(&example(), ApiVersion::NEWEST);
        let whole: ImageInspect = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(whole.config.unwrap().cmd, Some(vec!["sh".to_owned()]));
        assert_eq!(value["Config"]["Entrypoint"], Value::Null);
        assert_eq!(value["GraphDriver"]["Data"]["LowerDir"], "/l/high:/l/low");
    }

    #[test]
    fn history_is_newest_first_and_gives_layers_their_sizes() {
        let mut value = history(&example());
        let shown: Vec<_> = value
            .as_array()
            .unwrap()
            .iter()
            .map(|step| (&step["CreatedBy"], &step["Size"]))
            .collect();
        assert_eq!(
            json!(shown),
            json!([["COPY x", 20], ["CMD sh", 0], ["ADD rootfs", 100]])
        );
        assert_eq!(
            (&value[0]["Id"], &value[1]["Id"]),
            (&json!(example().id.to_string()), &json!("<missing>"))
        );
        assert_eq!(value[0]["Tags"], json!(["busybox:latest"]));
        serde_json::from_value::<Vec<ImageHistoryResponseItem>>(value.take()).unwrap();
        let mut bare = example();
        bare.config.history.clear();
        assert_eq!(history(&bare).as_array().unwrap().len(), 1);
    }

    #[test]
    fn removals_and_loads_are_told_as_docker_tells_them() {
        let digest = Digest::of(b"x");
        assert_eq!(
            removed(&[
                Removed::Untagged("a:1".into()),
                Removed::Deleted(digest.clone())
            ]),
            json!([{"Untagged": "a:1"}, {"Deleted": digest.to_string()}])
        );
        let name = Loaded::Name {
            name: "a:1".into(),
            id: digest.clone(),
            replaced: None,
        };
        assert_eq!(
            loaded(&[name, Loaded::Id(digest.clone())]),
            [
                json!({"stream": "Loaded image: a:1\n"}),
                json!({"stream": format!("Loaded image ID: {digest}\n")})
            ]
        );
    }
}
