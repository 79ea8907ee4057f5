//! Containers in full: `GET /containers/{name}/json`.

use std::path::Path;

use coracle_engine::networks::Connection;
use coracle_engine::{Health, MountKind, MountPoint, ProbeResult, Record, State, Status};
use serde_json::{Map, Value, json};

use super::{complete, defaults, network};

/// Where a container's files are.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Its directory.
    pub dir: std::path::PathBuf,
    /// The directory of its own `hostname`, `hosts` and `resolv.conf`.
    pub bundle: std::path::PathBuf,
    /// Its log.
    pub log: std::path::PathBuf,
    /// Its root when mounted.
    pub root: std::path::PathBuf,
    /// Layers of its image, lowest first.
    pub layers: Vec<std::path::PathBuf>,
}

/// What inspecting shows.
#[derive(Clone, Debug, Default)]
pub struct Inspected {
    /// Its configuration.
    pub record: Record,
    /// Its state.
    pub state: State,
    /// Ids of its exec instances.
    pub execs: Vec<String>,
    /// Where its files are.
    pub places: Places,
    /// Bytes that it has written, and bytes of its whole root, when asked for.
    pub sizes: Option<(u64, u64)>,
    /// The networks that it is in.
    pub connections: Vec<Connection>,
}

/// The ports that it says it listens on, in order.
pub fn exposed(record: &Record) -> Vec<String> {
    let mut ports = record.config.exposed_ports.clone().unwrap_or_default();
    ports.sort();
    ports
}

/// The whole object.
pub fn inspect(container: &Inspected) -> Value {
    let Inspected {
        record,
        state,
        execs,
        places,
        sizes,
        connections,
    } = container;
    let command = record.command();
    let (path, args) = command
        .split_first()
        .map_or(("", &[][..]), |(path, args)| (path.as_str(), args));
    let file = |name: &str| text(&places.bundle.join(name));
    let mut out = json!({
        "Id": record.id,
        "Created": record.created,
        "Path": path,
        "Args": args,
        "State": self::state(state),
        "Image": record.image_id,
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": text(&places.log),
        "Name": format!("/{}", record.name),
        "RestartCount": state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": if execs.is_empty() { Value::Null } else { json!(execs) },
        "HostConfig": complete(defaults::host_config(), &record.host_config),
        "GraphDriver": {"Name": "overlay2", "Data": overlay(places, &record.id)},
        "Mounts": mounts(&record.mounts),
        "Config": complete(defaults::container_config(), &record.config),
        "NetworkSettings": network::settings(&record.id, state.pid, &exposed(record), connections),
    });
    if let Some((written, root)) = sizes {
        out["SizeRw"] = json!(written);
        out["SizeRootFs"] = json!(root);
    }
    out
}

/// `State`. Docker calls a container running also when it is frozen or about to be restarted.
pub fn state(state: &State) -> Value {
    let mut out = json!({
        "Status": state.status.name(),
        "Running": state.status.is_active(),
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == Status::Dead,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
    });
    if let Some(health) = &state.health {
        out["Health"] = self::health(health);
    }
    out
}

/// `State.Health`.
fn health(health: &Health) -> Value {
    let result = |result: &ProbeResult| json!({"Start": result.start, "End": result.end, "ExitCode": result.exit_code, "Output": result.output});
    json!({
        "Status": health.status.name(),
        "FailingStreak": health.failing_streak,
        "Log": health.log.iter().map(result).collect::<Vec<_>>(),
    })
}

/// `Mounts`. The tmpfs of `--tmpfs` are not among them, as in Docker.
pub fn mounts(points: &[MountPoint]) -> Value {
    let shown = points
        .iter()
        .filter(|point| point.kind != MountKind::Tmpfs || point.spec.is_some());
    Value::Array(shown.map(mount).collect())
}

fn mount(point: &MountPoint) -> Value {
    let mut out = Map::new();
    out.insert("Type".into(), point.kind.name().into());
    if let Some(name) = &point.name {
        out.insert("Name".into(), name.as_str().into());
    }
    out.insert("Source".into(), point.source.as_str().into());
    out.insert("Destination".into(), point.destination.as_str().into());
    if point.kind == MountKind::Volume {
        out.insert("Driver".into(), "local".into());
    }
    out.insert("Mode".into(), point.mode.as_str().into());
    out.insert("RW".into(), point.writable.into());
    out.insert("Propagation".into(), point.propagation.as_str().into());
    Value::Object(out)
}

fn overlay(places: &Places, id: &str) -> Value {
    let lower: Vec<_> = places
        .layers
        .iter()
        .rev()
        .map(|layer| text(layer))
        .collect();
    json!({
        "ID": id,
        "LowerDir": lower.join(":"),
        "MergedDir": text(&places.root),
        "UpperDir": text(&places.dir.join("upper")),
        "WorkDir": text(&places.dir.join("work")),
    })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{ContainerConfig, ContainerInspectResponse, HostConfig, Mount};

    use super::*;

    fn example() -> Inspected {
        let words = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect());
        let record = Record {
            id: "abc".into(),
            name: "web".into(),
            config: ContainerConfig {
                entrypoint: words(&["/entry", "-x"]),
                cmd: words(&["serve"]),
                tty: Some(true),
                ..ContainerConfig::default()
            },
            host_config: HostConfig {
                network_mode: Some("none".into()),
                memory: Some(5),
                ..HostConfig::default()
            },
            mounts: vec![
                MountPoint {
                    kind: MountKind::Volume,
                    name: Some("data".into()),
                    source: "/v/data/_data".into(),
                    destination: "/data".into(),
                    writable: true,
                    mode: "z".into(),
                    ..MountPoint::default()
                },
                MountPoint {
                    kind: MountKind::Tmpfs,
                    destination: "/hidden".into(),
                    ..MountPoint::default()
                },
                MountPoint {
                    kind: MountKind::Tmpfs,
                    destination: "/shown".into(),
                    spec: Some(Mount::default()),
                    ..MountPoint::default()
                },
            ],
            ..Record::default()
        };
        let places = Places {
            dir: "/c/abc".into(),
            bundle: "/b/abc".into(),
            log: "/c/abc/abc-json.log".into(),
            root: "/r/abc".into(),
            layers: vec!["/l/low".into(), "/l/high".into()],
        };
        Inspected {
            record,
            places,
            connections: vec![Connection {
                network: "none".into(),
                id: "6e".into(),
                ..Connection::default()
            }],
            state: State {
                status: Status::Paused,
                ..State::default()
            },
            ..Inspected::default()
        }
    }

    #[test]
    fn the_object_is_whole_and_fits_the_model() {
        let value = inspect(&example());
        serde_json::from_value::<ContainerInspectResponse>(value.clone()).unwrap();
        for (pointer, expected) in [
            ("/Path", json!("/entry")),
            ("/Args", json!(["-x", "serve"])),
            ("/Name", json!("/web")),
            ("/State/Running", json!(true)),
            ("/State/Paused", json!(true)),
            ("/State/StartedAt", json!("0001-01-01T00:00:00Z")),
            ("/HostConfig/Memory", json!(5)),
            ("/HostConfig/LogConfig/Type", json!("json-file")),
            ("/HostConfig/Binds", Value::Null),
            ("/Config/Tty", json!(true)),
            ("/Config/Labels", json!({})),
            ("/ExecIDs", Value::Null),
            ("/NetworkSettings/Networks/none/NetworkID", json!("6e")),
            ("/GraphDriver/Data/LowerDir", json!("/l/high:/l/low")),
            ("/GraphDriver/Data/UpperDir", json!("/c/abc/upper")),
            ("/HostsPath", json!("/b/abc/hosts")),
        ] {
            assert_eq!(value.pointer(pointer), Some(&expected), "{pointer}");
        }
        assert!(value.get("SizeRw").is_none());
    }

    #[test]
    fn mounts_are_those_that_docker_shows() {
        assert_eq!(
            inspect(&example())["Mounts"],
            json!([
                {
                    "Type": "volume", "Name": "data", "Source": "/v/data/_data", "Destination": "/data", "Driver": "local",
                    "Mode": "z", "RW": true, "Propagation": ""
                },
                {"Type": "tmpfs", "Source": "", "Destination": "/shown", "Mode": "", "RW": false, "Propagation": ""},
            ])
        );
    }
}
