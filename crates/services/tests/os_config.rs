//! The services that Coracle ships: `images/os-config.yml` and the catalogue.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use coracle_config::yaml;
use coracle_services::{Environment, Order, Project};
use serde_json::Value;

fn shipped(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../images")
        .join(file);
    let text = fs::read_to_string(path).unwrap();
    yaml::parse(file, &text.replace("@VERSION@", "v0.1.0"))
        .unwrap()
        .tree
}

fn environment() -> Environment {
    Environment::from_config(&shipped("os-config.yml")["rancher"], "6.12")
}

#[test]
fn shipped_services_start_in_this_order() {
    let services = &shipped("os-config.yml")["rancher"]["services"];
    let project = Project::parse(services, environment());
    assert_eq!(project.problems, []);
    let order = Order::of(&project);
    assert_eq!(order.problems, []);
    assert_eq!(order.describe(&project), include_str!("os-config.order"));
}

#[test]
fn catalogue_entries_are_valid() {
    let index = shipped("services/index.yml");
    for name in index["services"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        let file = format!("services/{}/{name}.yml", &name[..1]);
        let project = Project::parse(&shipped(&file), environment());
        assert_eq!(project.problems, [], "{file}");
        assert!(project.service(name).is_some(), "{file}");
    }
}

#[test]
fn compose_plugin_is_copied_into_place() {
    let project = Project::parse(&shipped("services/d/docker-compose.yml"), environment());
    let service = project.service("docker-compose").unwrap();
    assert_eq!(service.image, "coracle/os-docker-compose:v0.1.0");
    let command = service.command.as_ref().unwrap();
    assert_eq!(command[..2], ["sh", "-ec"]);
    // What the shell gets: the definition's $$ are single now.
    assert!(
        command[2].contains("name=${plugin##*/}\n"),
        "{}",
        command[2]
    );
}
