//! Volumes.

use coracle_engine::Volume;
use serde_json::{Value, json};

/// The whole object. `usage` is the bytes of its files and the number of containers that have it.
pub fn volume(volume: &Volume, usage: Option<(u64, usize)>) -> Value {
    let mut out = json!({
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": if volume.labels.is_empty() { Value::Null } else { json!(volume.labels) },
        "Mountpoint": volume.data,
        "Name": volume.name,
        "Options": if volume.options.is_empty() { Value::Null } else { json!(volume.options) },
        "Scope": "local",
    });
    if let Some((size, containers)) = usage {
        out["UsageData"] = json!({"Size": size, "RefCount": containers});
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_fits_the_model() {
        let data = Volume {
            name: "data".into(),
            created: "2023-11-14T22:13:20Z".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            options: [("type".to_owned(), "tmpfs".to_owned())].into(),
            data: "/v/data/_data".into(),
        };
        let value = volume(&data, Some((5, 1)));
        let model: bollard_stubs::models::Volume = serde_json::from_value(value).unwrap();
        assert_eq!(
            (model.mountpoint.as_str(), model.labels["a"].as_str()),
            ("/v/data/_data", "b")
        );
        assert_eq!(model.usage_data.unwrap().size, 5);
        assert_eq!(model.options["type"], "tmpfs");
        let plain = volume(&Volume::default(), None);
        assert_eq!(
            (&plain["Labels"], &plain["Options"]),
            (&Value::Null, &Value::Null)
        );
    }
}
