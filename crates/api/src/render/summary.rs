//! Containers in lists: `GET /containers/json`.

use std::collections::HashMap;

use coracle_engine::networks::Connection;
use coracle_engine::{HealthStatus, Record, State, Status};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::container::{exposed, mounts};
use super::{duration, network, unix_seconds};

/// What a list shows about one container.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Its configuration.
    pub record: Record,
    /// Its state.
    pub state: State,
    /// The name by which its image is known; its id when the name has gone to another one.
    pub image: String,
    /// Bytes that it has written, and bytes of its whole root, when asked for.
    pub sizes: Option<(u64, u64)>,
    /// The networks that it is in.
    pub connections: Vec<Connection>,
}

impl Listed {
    /// Its labels.
    pub fn labels(&self) -> HashMap<String, String> {
        self.record.config.labels.clone().unwrap_or_default()
    }
}

/// One entry of the list.
pub fn summary(container: &Listed, now: Timestamp) -> Value {
    let Listed {
        record,
        state,
        image,
        sizes,
        connections,
    } = container;
    let mut out = json!({
        "Id": record.id,
        "Names": [format!("/{}", record.name)],
        "Image": image,
        "ImageID": record.image_id,
        "Command": command(&record.command()),
        "Created": unix_seconds(&record.created),
        "Ports": network::port_list(state.pid != 0, &exposed(record), connections),
        "Labels": super::sorted(&container.labels()),
        "State": state.status.name(),
        "Status": status(state, now),
        "HostConfig": {"NetworkMode": record.network_mode()},
        "NetworkSettings": {"Networks": network::of_container(connections)},
        "Mounts": mounts(&record.mounts),
    });
    if let Some(health) = &state.health {
        out["Health"] =
            json!({"Status": health.status.name(), "FailingStreak": health.failing_streak});
    }
    if let Some((written, root)) = sizes {
        // Docker leaves out a zero.
        if *written > 0 {
            out["SizeRw"] = json!(written);
        }
        out["SizeRootFs"] = json!(root);
    }
    out
}

/// The command as one text: arguments with blanks are quoted, as Docker does.
fn command(words: &[String]) -> String {
    let quoted = words.iter().enumerate().map(|(index, word)| {
        if index > 0 && word.contains(' ') {
            format!("'{word}'")
        } else {
            word.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The state in words: `Up 5 minutes`, `Exited (1) 2 hours ago`.
pub fn status(state: &State, now: Timestamp) -> String {
    let since = |time: &str| {
        let then = coracle_engine::time::parse(time).unwrap_or(now);
        duration::words(now.duration_since(then).as_secs())
    };
    match state.status {
        Status::Running => {
            let up = format!("Up {}", since(&state.started_at));
            match state.health.as_ref().map(|health| health.status) {
                None => up,
                Some(HealthStatus::Starting) => format!("{up} (health: starting)"),
                Some(status) => format!("{up} ({})", status.name()),
            }
        }
        Status::Paused => format!("Up {} (Paused)", since(&state.started_at)),
        Status::Restarting => format!(
            "Restarting ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
        Status::Dead => "Dead".to_owned(),
        Status::Created => "Created".to_owned(),
        Status::Exited => format!(
            "Exited ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{ContainerConfig, ContainerSummary, HostConfig};
    use coracle_engine::Health;

    use super::*;

    #[test]
    fn states_are_said_as_docker_says_them() {
        let now = Timestamp::new(1_700_000_000, 0).unwrap();
        let state = |status, exit_code| State {
            status,
            exit_code,
            started_at: "2023-11-14T21:13:20Z".into(),
            finished_at: "2023-11-14T22:13:18Z".into(),
            ..State::default()
        };
        let health = |status| State {
            health: Some(Health {
                status,
                ..Health::default()
            }),
            ..state(Status::Running, 0)
        };
        for (state, expected) in [
            (State::default(), "Created"),
            (state(Status::Running, 0), "Up About an hour"),
            (state(Status::Paused, 0), "Up About an hour (Paused)"),
            (
                health(HealthStatus::Starting),
                "Up About an hour (health: starting)",
            ),
            (health(HealthStatus::Healthy), "Up About an hour (healthy)"),
            (
                health(HealthStatus::Unhealthy),
                "Up About an hour (unhealthy)",
            ),
            (state(Status::Restarting, 3), "Restarting (3) 2 seconds ago"),
            (state(Status::Exited, 137), "Exited (137) 2 seconds ago"),
            (state(Status::Dead, 0), "Dead"),
        ] {
            assert_eq!(status(&state, now), expected);
        }
    }

    #[test]
    fn an_entry_is_whole_and_fits_the_model() {
        let words = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect());
        let record = Record {
            id: "abc".into(),
            name: "web".into(),
            created: "2023-11-14T22:13:20Z".into(),
            image_id: "sha256:1".into(),
            config: ContainerConfig {
                cmd: words(&["sh", "-c", "sleep 5"]),
                labels: Some([("a".to_owned(), "b".to_owned())].into()),
                ..ContainerConfig::default()
            },
            host_config: HostConfig {
                network_mode: Some("host".into()),
                ..HostConfig::default()
            },
            ..Record::default()
        };
        let listed = Listed {
            record,
            state: State::default(),
            image: "busybox".into(),
            sizes: Some((5, 7)),
            connections: vec![Connection {
                network: "host".into(),
                ..Connection::default()
            }],
        };
        let value = summary(&listed, Timestamp::UNIX_EPOCH);
        serde_json::from_value::<ContainerSummary>(value.clone()).unwrap();
        assert_eq!(value["Command"], "sh -c 'sleep 5'");
        assert_eq!(
            value["NetworkSettings"]["Networks"]["host"]["EndpointID"],
            ""
        );
        let keys: Vec<_> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected = "Id Names Image ImageID Command Created Ports Labels State Status HostConfig NetworkSettings Mounts \
                        SizeRw SizeRootFs";
        assert_eq!(keys.join(" "), expected);
    }
}
