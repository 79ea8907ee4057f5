//! Containers: list, create, inspect, prune.

use std::sync::Arc;

use bollard_stubs::models::{ContainerConfig, HostConfig, NetworkingConfig};
use coracle_engine::{Container, CreateRequest, Engine, Snapshot};
use hyper::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::lifecycle::nullable;
use crate::answer::Answer;
use crate::call::Call;
use crate::container_filter::{self, ContainerFilter};
use crate::error::{Error, Result};
use crate::image_filter::{self, ImageNames};
use crate::json;
use crate::render::container::{Inspected, Places};
use crate::render::summary::Listed;
use crate::render::{self, unix_seconds};

/// `GET /containers/json`
pub async fn list(call: Call) -> Result<Answer> {
    let engine = &call.engine;
    let filters = call.query.filters(container_filter::KEYS)?;
    let limit = call.query.number("limit")?.unwrap_or(-1);
    let mut filter = ContainerFilter::new(filters, call.query.flag("all"), limit)?;
    let id = |key: &str| -> Result<Option<String>> {
        let name = filter.filters.get(key).first();
        Ok(name
            .map(|name| engine.find(name))
            .transpose()?
            .map(|container| container.id().to_owned()))
    };
    (filter.before, filter.since) = (id("before")?, id("since")?);
    for name in filter.filters.get("ancestor") {
        // An image that does not exist has no containers.
        if let Ok(image) = engine.image(name).await {
            filter.ancestors.push(image.id.to_string());
        }
    }
    let names = ImageNames::new(&engine.images().await?);
    let containers = engine
        .all()
        .iter()
        .filter(|container| filter.considers(container.is_active()))
        .map(|container| listed(engine, container, &names, None))
        .collect();
    let mut chosen = filter.choose(containers);
    if call.query.flag("size") {
        for listed in &mut chosen {
            // One that was removed meanwhile has no size.
            if let Ok(container) = engine.find(&listed.record.id) {
                listed.sizes = Some(engine.sizes(&container).await?);
            }
        }
    }
    let now = Timestamp::now();
    let shown: Vec<Value> = chosen
        .iter()
        .map(|listed| render::summary::summary(listed, now))
        .collect();
    Answer::json(&shown)
}

/// What lists show of a container.
pub fn listed(
    engine: &Engine,
    container: &Arc<Container>,
    names: &ImageNames,
    sizes: Option<(u64, u64)>,
) -> Listed {
    let Snapshot { record, state, .. } = container.snapshot();
    let image = names.shown(
        record.config.image.as_deref().unwrap_or_default(),
        &record.image_id,
    );
    Listed {
        connections: engine.connections(&record),
        record,
        state,
        image,
        sizes,
    }
}

/// `GET /containers/{name}/json`
pub async fn inspect(call: Call) -> Result<Answer> {
    let container = call.engine.find(call.target())?;
    let sizes = if call.query.flag("size") {
        Some(call.engine.sizes(&container).await?)
    } else {
        None
    };
    let Snapshot {
        record,
        state,
        execs,
    } = container.snapshot();
    let places = Places {
        dir: container.dir().to_owned(),
        bundle: call.engine.bundle(container.id()),
        log: container.log_path().unwrap_or_default(),
        root: call
            .engine
            .options()
            .exec_root
            .join("rootfs")
            .join(container.id()),
        layers: record.layers.clone(),
    };
    Answer::json(&render::container::inspect(&Inspected {
        connections: call.engine.connections(&record),
        record,
        state,
        execs,
        places,
        sizes,
    }))
}

/// `POST /containers/create`
pub async fn create(mut call: Call) -> Result<Answer> {
    let body: Value = call.json().await?;
    let request = request(body, call.query.text("name"))?;
    if let (Some(platform), Some(name)) = (call.query.text("platform"), &request.config.image) {
        let image = call.engine.image(name).await?;
        let found = [
            image.config.os.as_str(),
            &image.config.architecture,
            &image.config.variant,
        ];
        if !is_platform(platform, found) {
            return Err(Error::NotFound(format!(
                "image with reference {name} was found but does not provide the specified platform ({platform})"
            )));
        }
    }
    let created = call.engine.create(request).await?;
    Answer::json_as(
        StatusCode::CREATED,
        &json!({"Id": created.id, "Warnings": created.warnings}),
    )
}

/// The body of create: the configuration's own fields, `HostConfig` and `NetworkingConfig` side by side.
pub(crate) fn request(mut body: Value, name: Option<&str>) -> Result<CreateRequest> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Rest {
        host_config: Option<HostConfig>,
        networking_config: Option<NetworkingConfig>,
        mac_address: Option<String>,
    }

    if body.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Error::BadRequest(
            "config cannot be empty in order to create a container".into(),
        ));
    }
    // Docker takes a single text for these too.
    for (field, value) in body.as_object_mut().into_iter().flatten() {
        let is = |name: &str| field.eq_ignore_ascii_case(name);
        if (is("Cmd") || is("Entrypoint")) && value.is_string() {
            *value = json!([value.take()]);
        }
    }
    let wrong = |error: serde_json::Error| Error::BadRequest(format!("invalid JSON: {error}"));
    let config: ContainerConfig = json::from_value(body.clone()).map_err(wrong)?;
    let rest: Rest = json::from_value(body).map_err(wrong)?;
    let host_config = rest.host_config.unwrap_or_default();
    let mut networking = rest.networking_config.unwrap_or_default();
    // Before API 1.44 the container had one, for the network of its mode.
    if let Some(mac) = rest.mac_address.filter(|mac| !mac.is_empty()) {
        let mode = host_config
            .network_mode
            .clone()
            .filter(|mode| !mode.is_empty());
        let endpoints = networking.endpoints_config.get_or_insert_default();
        let settings = endpoints
            .entry(mode.unwrap_or_else(|| "default".to_owned()))
            .or_default();
        settings.mac_address.get_or_insert(mac);
    }
    Ok(CreateRequest {
        name: name.map(str::to_owned),
        config,
        host_config,
        networking,
    })
}

/// Whether `asked` (`linux/amd64`, `linux/arm64/v8`) is the platform `found`: system, architecture, variant.
fn is_platform(asked: &str, found: [&str; 3]) -> bool {
    let parts: Vec<&str> = asked.split('/').collect();
    match parts.as_slice() {
        // Docker takes a system or an architecture alone.
        [one] => found[..2].contains(one),
        [os, architecture] => found[..2] == [*os, *architecture],
        [os, architecture, variant] => {
            found[..2] == [*os, *architecture] && (found[2].is_empty() || found[2] == *variant)
        }
        _ => false,
    }
}

/// `POST /containers/prune`
pub async fn prune(call: Call) -> Result<Answer> {
    let filters = call.query.filters(&["label", "label!", "until"])?;
    let until = image_filter::until(&filters, Timestamp::now())?;
    let (mut removed, mut bytes) = (Vec::new(), 0);
    for container in call.engine.all() {
        let Snapshot { record, state, .. } = container.snapshot();
        let labels = record.config.labels.unwrap_or_default();
        let wanted = !state.status.is_active()
            && filters.has_labels("label", &labels)
            && filters.lacks_labels("label!", &labels)
            && until.is_none_or(|until| unix_seconds(&record.created) < until.as_second());
        if !wanted {
            continue;
        }
        let (written, _) = call.engine.sizes(&container).await?;
        // One that was started or removed meanwhile is left alone.
        if call
            .engine
            .remove(container.id(), false, false)
            .await
            .is_ok()
        {
            removed.push(container.id().to_owned());
            bytes += written;
        }
    }
    Answer::json(&json!({"ContainersDeleted": nullable(&removed), "SpaceReclaimed": bytes}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_become_requests() {
        let body = json!({
            "Image": "busybox", "cmd": "true", "Entrypoint": ["sh", "-c"], "Unknown": 1,
            "HostConfig": {"NetworkMode": "host", "RestartPolicy": {"Name": ""}, "CgroupnsMode": ""},
            "NetworkingConfig": {"EndpointsConfig": null}, "macAddress": "02:42:00:00:00:01"
        });
        let request = request(body, Some("web")).unwrap();
        assert_eq!(request.name.as_deref(), Some("web"));
        assert_eq!(
            request.config.cmd.as_deref(),
            Some(&["true".to_owned()][..])
        );
        assert_eq!(request.config.entrypoint.map(|words| words.len()), Some(2));
        assert_eq!(request.host_config.network_mode.as_deref(), Some("host"));
        let endpoints = request.networking.endpoints_config.unwrap();
        assert_eq!(
            endpoints["host"].mac_address.as_deref(),
            Some("02:42:00:00:00:01")
        );
        for (body, expected) in [
            (
                Value::Null,
                "config cannot be empty in order to create a container",
            ),
            (
                json!({}),
                "config cannot be empty in order to create a container",
            ),
            (
                json!({"Image": 5}),
                "invalid JSON: invalid type: integer `5`, expected a string",
            ),
        ] {
            assert_eq!(
                super::request(body, None).unwrap_err().to_string(),
                expected
            );
        }
    }

    #[test]
    fn platforms_are_compared_as_far_as_they_are_given() {
        for (asked, expected) in [
            ("linux", true),
            ("amd64", true),
            ("linux/amd64", true),
            ("linux/amd64/v2", true),
            ("linux/arm64", false),
            ("windows/amd64", false),
            ("a/b/c/d", false),
        ] {
            assert_eq!(
                is_platform(asked, ["linux", "amd64", ""]),
                expected,
                "{asked}"
            );
        }
        assert!(!is_platform("linux/arm/v6", ["linux", "arm", "v7"]));
    }
}
