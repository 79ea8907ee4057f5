use serde_json::{Value, json};

use super::*;
use crate::Environment;

fn project(definitions: Value) -> Project {
    let project = Project::parse(&definitions, Environment::default());
    assert_eq!(project.problems, []);
    project
}

fn system(labels: &[(&str, &str)]) -> Value {
    let mut map = json!({"io.rancher.os.scope": "system"});
    for (label, value) in labels {
        map[format!("io.rancher.os.{label}")] = json!(value);
    }
    json!({"image": "i", "labels": map})
}

fn with(mut definition: Value, key: &str, value: Value) -> Value {
    definition[key] = value;
    definition
}

#[test]
fn all_reasons_to_wait_are_found() {
    let project = project(json!({
        "web": {"image": "i", "links": ["db:data"]},
        "docker": with(system(&[("after", "console"), ("root", "container:console")]), "volumes_from", json!(["all-volumes:ro"])),
        "console": with(system(&[("after", "network,absent")]), "volumes_from", json!(["all-volumes"])),
        "network": with(system(&[]), "log_driver", json!("syslog")),
        "syslog": system(&[]),
        "all-volumes": system(&[("createonly", "true")]),
        "early": system(&[("before", "network, syslog")]),
        "db": {"image": "i"},
        "side": with(with(system(&[]), "net", json!("container:my-name")), "pid", json!("host")),
        "main": with(system(&[]), "container_name", json!("my-name")),
    }));
    let order = Order::of(&project);
    assert_eq!(order.problems, []);
    assert_eq!(
        order.describe(&project),
        "\
all-volumes
early
syslog after early (before)
network after syslog (log_driver), early (before)
console after network (after), all-volumes (volumes_from)
docker after console (after), all-volumes (volumes_from), console (root)
db after docker (user scope)
web after docker (user scope), db (links)
main
side after main (namespace)
"
    );
}

#[test]
fn closure_names_all_prerequisites() {
    let project = project(json!({
        "c": system(&[("after", "b")]),
        "b": system(&[("after", "a")]),
        "a": system(&[]),
        "x": system(&[]),
    }));
    let mut closure = Order::of(&project).closure(&[0]);
    closure.sort_unstable();
    assert_eq!(closure, [0, 1, 2]);
}

#[test]
fn circle_is_reported_and_cut_at_its_weakest_link() {
    // What a user adds must not take network and console with it.
    let project = project(json!({
        "udev": system(&[]),
        "network": system(&[("after", "udev")]),
        "console": system(&[("after", "network")]),
        "mine": system(&[("after", "console"), ("before", "udev")]),
        "self": system(&[("after", "self")]),
    }));
    let order = Order::of(&project);
    assert_eq!(
        order
            .problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "service mine: services wait for each other: udev → mine → console → network → udev; \
             going on as if udev did not wait for mine (before)"
        ]
    );
    assert_eq!(
        order.describe(&project),
        "\
udev
network after udev (after)
console after network (after)
mine after console (after)
self
"
    );
}

#[test]
fn two_circles_are_both_cut() {
    let project = project(json!({
        "a": system(&[("after", "b")]),
        "b": system(&[("after", "a")]),
        "c": with(system(&[("after", "d")]), "volumes_from", json!(["d"])),
        "d": system(&[("after", "c")]),
    }));
    let order = Order::of(&project);
    assert_eq!(
        order
            .problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "service b: services wait for each other: a → b → a; going on as if b did not wait for a (after)",
            "service d: services wait for each other: c → d → c; going on as if d did not wait for c (after)",
        ]
    );
    assert_eq!(
        order.describe(&project),
        "b\na after b (after)\nd\nc after d (volumes_from)\n"
    );
}
