//! Doing one thing to several services, as many at a time as the order allows, forwards or backwards.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::Error;
use crate::engine::Engine;
use crate::engines::Engines;
use crate::order::Order;
use crate::project::Project;
use crate::schedule::{Reached, Schedule};
use crate::service::Service;
use crate::up::{Done, Observer, Outcome};

/// In which direction an order is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// As services start.
    Start,
    /// Those that wait for others first.
    Stop,
}

/// What is done to each service.
pub(crate) enum Act<'a> {
    /// Start its container, which must exist.
    Start,
    /// Stop it; the container is killed after the time that the function gives.
    Stop(&'a (dyn Fn(&Service) -> Duration + Sync)),
    /// Stop and start it, killing it after that time.
    Restart(Duration),
    /// Remove its container, and the volumes without a name if asked to.
    Remove {
        /// Whether volumes go too.
        volumes: bool,
    },
}

impl Act<'_> {
    /// Containers are stopped and removed in the reverse of the order in which they start.
    fn direction(&self) -> Direction {
        match self {
            Self::Start | Self::Restart(_) => Direction::Start,
            Self::Stop(_) | Self::Remove { .. } => Direction::Stop,
        }
    }

    async fn on(&self, engine: &Engine, service: &Service) -> Result<Done, Error> {
        let name = service.container_name.as_str();
        match self {
            Self::Start | Self::Restart(_) if service.steering.create_only => Ok(Done::Created),
            Self::Start => {
                engine.start(name).await?;
                Ok(Done::Started)
            }
            Self::Restart(timeout) => {
                engine.restart(name, *timeout).await?;
                Ok(Done::Started)
            }
            Self::Stop(timeout) => match engine.container(name).await? {
                Some(container) if container.running => {
                    engine.stop(name, timeout(service)).await?;
                    Ok(Done::Stopped)
                }
                _ => Ok(Done::Unchanged),
            },
            Self::Remove { volumes } => Ok(match engine.remove(name, *volumes).await? {
                true => Done::Removed,
                false => Done::Unchanged,
            }),
        }
    }
}

/// Does `act` to the named services (all when `names` is empty). Services that are not named are not waited for.
pub(crate) async fn walk(
    engines: &Engines,
    project: &Project,
    names: &[String],
    observer: &dyn Observer,
    act: &Act<'_>,
) -> Result<Vec<Outcome>, Error> {
    let mut schedule = plan(project, names, act.direction())?;
    let mut running = FuturesUnordered::new();
    let mut outcomes = Vec::new();
    loop {
        for name in schedule.ready() {
            observer.begun(&name);
            running.push(one(engines, project, name, act));
        }
        let Some(outcome) = running.next().await else {
            return Ok(outcomes);
        };
        observer.done(&outcome);
        schedule.reached(&outcome.name, Reached::Done);
        outcomes.push(outcome);
    }
}

async fn one(engines: &Engines, project: &Project, name: String, act: &Act<'_>) -> Outcome {
    let start_us = coracle_boot_log::now_us();
    let result = match project.service(&name) {
        Some(service) => act_on(engines, service, act).await,
        None => Err(Error::UnknownService { name: name.clone() }),
    };
    Outcome {
        name,
        start_us,
        end_us: coracle_boot_log::now_us(),
        result,
    }
}

async fn act_on(engines: &Engines, service: &Service, act: &Act<'_>) -> Result<Done, Error> {
    let scope = service.steering.scope;
    let engine = match act.direction() {
        Direction::Start => engines.for_scope(scope).await?,
        // Where no engine runs there is nothing to stop.
        Direction::Stop => match engines.if_running(scope).await? {
            Some(engine) => engine,
            None => return Ok(Done::Unchanged),
        },
    };
    act.on(engine, service).await
}

/// The schedule of a walk.
fn plan(project: &Project, names: &[String], direction: Direction) -> Result<Schedule, Error> {
    let mut chosen = Vec::new();
    for name in names {
        match project.service(name) {
            Some(service) => chosen.push(service.name.as_str()),
            None => return Err(Error::UnknownService { name: name.clone() }),
        }
    }
    let order = Order::of(project);
    let name = |i: usize| project.services[i].name.as_str();
    let mut schedule = Schedule::default();
    for step in &order.steps {
        if !chosen.is_empty() && !chosen.contains(&name(step.service)) {
            continue;
        }
        let others: Vec<usize> = match direction {
            Direction::Start => step.waits_for.iter().map(|(on, _)| *on).collect(),
            Direction::Stop => order
                .steps
                .iter()
                .filter(|other| other.waits_for.iter().any(|(on, _)| *on == step.service))
                .map(|other| other.service)
                .collect(),
        };
        let done = |other: usize| (name(other).into(), Reached::Done);
        schedule.add(name(step.service), others.into_iter().map(done));
    }
    Ok(schedule)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Environment;

    #[test]
    fn stopping_is_starting_backwards() {
        let service = |after: &str| json!({"image": "i", "labels": {"io.rancher.os.scope": "system", "io.rancher.os.after": after}});
        let definitions = json!({
            "udev": service(""), "network": service("udev"), "console": service("network"), "syslog": service(""),
        });
        let project = Project::parse(&definitions, Environment::default());
        let rounds = |names: &[&str], direction| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let mut schedule = plan(&project, &names, direction).unwrap();
            let mut rounds = Vec::new();
            loop {
                let ready = schedule.ready();
                if ready.is_empty() {
                    return rounds;
                }
                ready
                    .iter()
                    .for_each(|name| schedule.reached(name, Reached::Done));
                rounds.push(ready.join(" "));
            }
        };
        assert_eq!(
            rounds(&[], Direction::Start),
            ["udev syslog", "network", "console"]
        );
        assert_eq!(
            rounds(&[], Direction::Stop),
            ["console syslog", "network", "udev"]
        );
        assert_eq!(
            rounds(&["udev", "console"], Direction::Stop),
            ["udev console"]
        );
        let unknown = plan(&project, &["nptd".into()], Direction::Stop).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "no service is called nptd; `ros service list -a` names them"
        );
    }
}
