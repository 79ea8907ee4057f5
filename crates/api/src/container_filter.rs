//! Which containers a list shows, and in which order (`GET /containers/json`).

use coracle_engine::{MountKind, Status, time};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::filters::Filters;
use crate::render::summary::Listed;

/// The keys that Docker knows.
pub const KEYS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// The states that `status` may ask for.
const STATES: &[&str] = &[
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
];

/// The states that `health` may ask for.
const HEALTH: &[&str] = &["none", "starting", "healthy", "unhealthy"];

/// What a client wants to see.
#[derive(Clone, Debug, Default)]
pub struct ContainerFilter {
    /// Also those that do not run.
    pub all: bool,
    /// At most so many; then also those that do not run.
    pub limit: Option<usize>,
    /// The filters.
    pub filters: Filters,
    /// Ids of the images that `ancestor` names.
    pub ancestors: Vec<String>,
    /// Id of the container that `before` names.
    pub before: Option<String>,
    /// Id of the container that `since` names.
    pub since: Option<String>,
    exited: Vec<i64>,
}

impl ContainerFilter {
    /// Checks the values that have a form. A limit below 1 is none.
    ///
    /// # Errors
    /// Docker's texts.
    pub fn new(filters: Filters, all: bool, limit: i64) -> Result<Self> {
        if let Some(wrong) = filters
            .get("status")
            .iter()
            .find(|value| !STATES.contains(&value.as_str()))
        {
            return Err(Error::BadRequest(format!(
                "invalid filter 'status={wrong}': invalid value for state ({wrong}): must be one of {}",
                STATES.join(", ")
            )));
        }
        if let Some(wrong) = filters
            .get("health")
            .iter()
            .find(|value| !HEALTH.contains(&value.as_str()))
        {
            return Err(Error::BadRequest(format!(
                "invalid filter 'health={wrong}': invalid value for health ({wrong}): must be one of {}",
                HEALTH.join(", ")
            )));
        }
        let code = |text: &String| {
            text.parse().map_err(|_| {
                Error::BadRequest(format!("invalid filter 'exited={text}': not an exit code"))
            })
        };
        let exited = filters
            .get("exited")
            .iter()
            .map(code)
            .collect::<Result<_>>()?;
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        let all = all || limit.is_some() || filters.has("status");
        Ok(Self {
            all,
            limit,
            filters,
            exited,
            ..Self::default()
        })
    }

    /// Whether a container may be among those that [`ContainerFilter::choose`] needs: most lists are of what runs, and are not to
    /// take the longer the more does not.
    pub fn considers(&self, is_active: bool) -> bool {
        self.all || self.before.is_some() || self.since.is_some() || is_active
    }

    /// The containers to show, newest first.
    pub fn choose(&self, mut containers: Vec<Listed>) -> Vec<Listed> {
        let created = |container: &Listed| {
            time::parse(&container.record.created).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        containers.sort_by_key(|container| std::cmp::Reverse(created(container)));
        let position = |id: &Option<String>| {
            containers
                .iter()
                .position(|listed| Some(&listed.record.id) == id.as_ref())
        };
        let first = position(&self.before).map_or(0, |index| index + 1);
        let end = position(&self.since).unwrap_or(containers.len());
        let span = containers.into_iter().take(end).skip(first);
        span.filter(|container| self.accepts(container))
            .take(self.limit.unwrap_or(usize::MAX))
            .collect()
    }

    fn accepts(&self, container: &Listed) -> bool {
        let Listed { record, state, .. } = container;
        let filters = &self.filters;
        let health = state
            .health
            .as_ref()
            .map_or("none", |health| health.status.name());
        let ended_with =
            |codes: &[i64]| state.status == Status::Exited && codes.contains(&state.exit_code);
        (self.all || state.status.is_active())
            && (filters.fits("name", &record.name)
                || filters.fits("name", &format!("/{}", record.name)))
            && filters.any("id", |id| record.id.starts_with(id))
            && filters.has_labels("label", &container.labels())
            && filters.is("status", state.status.name())
            && (self.exited.is_empty() || ended_with(&self.exited))
            && (!filters.has("ancestor") || self.ancestors.contains(&record.image_id))
            && filters.any("volume", |wanted| has_volume(container, wanted))
            && filters.any("network", |wanted| {
                container
                    .connections
                    .iter()
                    .any(|connection| connection.network == wanted || connection.id == wanted)
            })
            && filters.is("health", health)
            && filters.is("isolation", "default")
            && filters.any("is-task", |wanted| matches!(wanted, "false" | "0"))
            && filters.any("publish", |wanted| publishes(container, wanted))
            && filters.any("expose", |wanted| exposes(container, wanted))
    }
}

fn has_volume(container: &Listed, wanted: &str) -> bool {
    container.record.mounts.iter().any(|point| {
        let source = if point.kind == MountKind::Volume {
            point.name.as_deref()
        } else {
            Some(point.source.as_str())
        };
        source == Some(wanted) || point.destination == wanted
    })
}

/// Docker: `80`, `80/udp`, `80-85/tcp`, about the machine's ports or the container's.
fn publishes(container: &Listed, wanted: &str) -> bool {
    let (range, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        return false;
    };
    let endpoints = container
        .connections
        .iter()
        .filter_map(|connection| connection.endpoint.as_ref());
    endpoints.flat_map(|endpoint| &endpoint.ports).any(|port| {
        port.container.protocol.to_string() == protocol
            && ((first..=last).contains(&port.host_port)
                || (first..=last).contains(&port.container.port))
    })
}

fn exposes(container: &Listed, wanted: &str) -> bool {
    let wanted = if wanted.contains('/') {
        wanted.to_owned()
    } else {
        format!("{wanted}/tcp")
    };
    container
        .record
        .config
        .exposed_ports
        .iter()
        .flatten()
        .any(|port| *port == wanted)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard_stubs::models::{ContainerConfig, HostConfig};
    use coracle_engine::networks::Connection;
    use coracle_engine::{MountPoint, Record, State};

    use super::*;

    fn container(name: &str, created: &str, status: Status, exit_code: i64) -> Listed {
        let labels: HashMap<String, String> = [("name".to_owned(), name.to_owned())].into();
        let volume = MountPoint {
            kind: MountKind::Volume,
            name: Some(format!("{name}-data")),
            destination: "/data".into(),
            ..MountPoint::default()
        };
        Listed {
            record: Record {
                id: format!("{name}0"),
                name: name.into(),
                created: created.into(),
                image_id: format!("sha256:{name}"),
                config: ContainerConfig {
                    labels: Some(labels),
                    exposed_ports: Some(vec!["80/tcp".into()]),
                    ..ContainerConfig::default()
                },
                host_config: HostConfig {
                    network_mode: Some("host".into()),
                    ..HostConfig::default()
                },
                mounts: vec![volume],
                ..Record::default()
            },
            state: State {
                status,
                exit_code,
                ..State::default()
            },
            connections: vec![Connection {
                network: "host".into(),
                ..Connection::default()
            }],
            ..Listed::default()
        }
    }

    fn shown(json: &str, all: bool, limit: i64) -> Result<Vec<String>> {
        let mut containers = vec![
            container("new", "2026-01-04T00:00:00.5Z", Status::Running, 0),
            container("oldest", "2026-01-01T00:00:00Z", Status::Exited, 3),
            container("newer", "2026-01-04T00:00:00.25Z", Status::Created, 0),
            container("old", "2026-01-02T00:00:00Z", Status::Paused, 0),
        ];
        let mut filter = ContainerFilter::new(Filters::parse(json).unwrap(), all, limit)?;
        filter.ancestors = vec!["sha256:old".into()];
        let id = |key: &str| {
            filter
                .filters
                .get(key)
                .first()
                .map(|name| format!("{name}0"))
        };
        (filter.before, filter.since) = (id("before"), id("since"));
        containers.retain(|listed| filter.considers(listed.state.status.is_active()));
        Ok(filter
            .choose(containers)
            .into_iter()
            .map(|listed| listed.record.name)
            .collect())
    }

    #[test]
    fn filters_choose_containers() {
        let table: &[(&str, bool, i64, &[&str])] = &[
            ("{}", false, 0, &["new", "old"]),
            ("{}", true, -1, &["new", "newer", "old", "oldest"]),
            ("{}", false, 3, &["new", "newer", "old"]),
            (r#"{"name":["new"]}"#, true, 0, &["new", "newer"]),
            (r#"{"name":["^/new$"]}"#, true, 0, &["new"]),
            (r#"{"id":["old0"]}"#, true, 0, &["old"]),
            (r#"{"label":["name=old"]}"#, true, 0, &["old"]),
            (r#"{"label":["name"]}"#, false, 1, &["new"]),
            (
                r#"{"status":["exited","paused"]}"#,
                false,
                0,
                &["old", "oldest"],
            ),
            (r#"{"exited":["3"]}"#, true, 0, &["oldest"]),
            (r#"{"exited":["3"]}"#, false, 0, &[]),
            (r#"{"exited":["0"]}"#, true, 0, &[]),
            (r#"{"ancestor":["busybox"]}"#, true, 0, &["old"]),
            (r#"{"before":["newer"]}"#, true, 0, &["old", "oldest"]),
            (r#"{"since":["old"]}"#, true, 0, &["new", "newer"]),
            (r#"{"volume":["old-data"]}"#, true, 0, &["old"]),
            (r#"{"volume":["/data"]}"#, false, 0, &["new", "old"]),
            (r#"{"network":["host"]}"#, false, 0, &["new", "old"]),
            (r#"{"network":["none"]}"#, false, 0, &[]),
            (r#"{"expose":["80"]}"#, false, 0, &["new", "old"]),
            (r#"{"expose":["80/udp"]}"#, false, 0, &[]),
            (r#"{"publish":["80"]}"#, false, 0, &[]),
            (r#"{"health":["healthy"]}"#, false, 0, &[]),
            (
                r#"{"health":["none","starting"]}"#,
                false,
                0,
                &["new", "old"],
            ),
            (r#"{"is-task":["false"]}"#, false, 0, &["new", "old"]),
        ];
        for (json, all, limit, expected) in table {
            assert_eq!(shown(json, *all, *limit).unwrap(), *expected, "{json}");
        }
    }

    #[test]
    fn values_without_sense_are_refused() {
        for (json, expected) in [
            (
                r#"{"status":["sleeping"]}"#,
                "invalid filter 'status=sleeping': invalid value for state (sleeping): must be one of \
                 created, running, paused, restarting, removing, exited, dead",
            ),
            (
                r#"{"health":["ill"]}"#,
                "invalid filter 'health=ill': invalid value for health (ill): must be one of none, starting, healthy, \
                 unhealthy",
            ),
            (
                r#"{"exited":["x"]}"#,
                "invalid filter 'exited=x': not an exit code",
            ),
        ] {
            assert_eq!(shown(json, true, 0).unwrap_err().to_string(), expected);
        }
    }
}
