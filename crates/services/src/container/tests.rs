use serde_json::json;

use super::*;
use crate::Environment;

fn project(definitions: Value) -> Project {
    let environment = Environment::from_config(
        &json!({"environment": {"VERSION": "v1", "SECRET": "s"}}),
        "6.12",
    );
    let project = Project::parse(&definitions, environment);
    assert_eq!(project.problems, []);
    project
}

fn body_of(project: &Project, name: &str) -> Value {
    let mut body =
        serde_json::to_value(create_body(project, project.service(name).unwrap())).unwrap();
    // The hash has tests of its own.
    let hash = body["Labels"]
        .as_object_mut()
        .unwrap()
        .remove(labels::CONFIG_HASH);
    assert_eq!(hash.unwrap().as_str().unwrap().len(), 64);
    body
}

#[test]
fn smallest_service_asks_for_nothing_but_its_image() {
    let project = project(json!({"a": {"image": "i"}}));
    assert_eq!(
        body_of(&project, "a"),
        json!({
            "Image": "i",
            "Labels": {"io.docker.compose.project": "os", "io.docker.compose.service": "a"},
            "HostConfig": {},
        })
    );
}

#[test]
fn every_key_reaches_the_engine() {
    let definitions = include_str!("../../tests/every-key.json");
    let request = include_str!("../../tests/every-key.request.json");
    let project = project(serde_json::from_str(definitions).unwrap());
    let request: Value = serde_json::from_str(request).unwrap();
    assert_eq!(body_of(&project, "all"), request);
    assert_eq!(
        body_of(&project, "data")["NetworkingConfig"],
        json!({"EndpointsConfig": {"default": {"MacAddress": "02:00:00:00:00:01"}}})
    );
}

#[test]
fn hash_changes_with_what_the_container_is_made_from() {
    let base = json!({
        "volumes": {"image": "i", "volumes": ["/a:/a"]},
        "a": {"image": "i", "volumes_from": ["volumes"], "log_opt": {"x": "1", "y": "2", "z": "3"}},
    });
    let hash = |definitions: &Value| {
        let project = project(definitions.clone());
        config_hash(&project, project.service("a").unwrap())
    };
    for _ in 0..20 {
        assert_eq!(hash(&base), hash(&base), "same definition, same hash");
    }
    let changes = [
        ("/a/command", json!("x")),
        ("/a/labels", json!({"l": "1"})),
        ("/a/container_name", json!("other")),
        ("/volumes/volumes", json!(["/b:/b"])),
    ];
    for (pointer, value) in changes {
        let mut changed = base.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[key] = value;
        assert_ne!(hash(&base), hash(&changed), "{pointer}");
    }
}
