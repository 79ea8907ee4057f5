//! The service `system-cron`: starts, restarts and stops containers of an engine at the times that their labels give
//! (inventory D1-020, D2-010 to D2-012).
//!
//! It only ever acts on containers that exist, so there is nothing it could leave behind (J1-054).

mod alarm;
mod jobs;
mod schedule;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::Error;
use crate::engine::Engine;
use alarm::{Alarm, Ring};
use jobs::{Action, Job, Jobs, SCHEDULE};

/// How long to wait before asking an engine again that went away.
const RETRY: Duration = Duration::from_secs(1);

/// What changes the set of containers or their names.
const EVENTS: [&str; 4] = ["create", "destroy", "rename", "update"];

/// Runs until the process ends. An engine that goes away is asked again until it is back.
///
/// # Errors
/// When the kernel gives no timer.
pub async fn run(engine: &Engine) -> Result<(), Error> {
    let mut alarm = Alarm::new()?;
    let mut jobs = Jobs::default();
    let mut work = Work {
        engine: engine.clone(),
        tasks: JoinSet::new(),
        busy: BTreeSet::new(),
    };
    loop {
        if let Err(error) = watch(engine, &mut alarm, &mut jobs, &mut work).await {
            tracing::warn!("{error}; trying again");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Follows the engine's containers until its events end.
async fn watch(
    engine: &Engine,
    alarm: &mut Alarm,
    jobs: &mut Jobs,
    work: &mut Work,
) -> Result<(), Error> {
    let filters = HashMap::from([
        ("type", vec!["container"]),
        ("event", EVENTS.to_vec()),
        ("label", vec![SCHEDULE]),
    ]);
    // The engine repeats events since then, so nothing falls between the list and the events.
    let since = Timestamp::now().as_second().to_string();
    let options = EventsOptionsBuilder::default()
        .filters(&filters)
        .since(&since)
        .build();
    let mut events = std::pin::pin!(engine.docker().events(Some(options)));
    refresh(engine, jobs, alarm).await?;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(_)) => refresh(engine, jobs, alarm).await?,
                Some(Err(error)) => return Err(engine.failed("follow", "events", error)),
                None => return Ok(()),
            },
            ring = alarm.ring() => {
                match ring {
                    Ring::Due => work.begin(jobs.take_due(Timestamp::now())),
                    Ring::ClockSet => jobs.plan_anew(Timestamp::now()),
                }
                alarm.set(jobs.next())?;
            }
            Some(ended) = work.tasks.join_next() => {
                if let Ok(id) = ended {
                    work.busy.remove(&id);
                }
            }
        }
    }
}

/// Takes over the containers that there are now, and says what is new.
async fn refresh(engine: &Engine, jobs: &mut Jobs, alarm: &Alarm) -> Result<(), Error> {
    let containers = engine.list(Some(SCHEDULE)).await?.into_iter();
    let containers = containers.filter_map(|container| {
        let name = container
            .names?
            .first()?
            .trim_start_matches('/')
            .to_string();
        Some((container.id?, name, container.labels?))
    });
    for change in jobs.update(containers, Timestamp::now()) {
        tracing::info!("{change}");
    }
    alarm.set(jobs.next())
}

/// Actions under way, one per container.
struct Work {
    engine: Engine,
    tasks: JoinSet<String>,
    busy: BTreeSet<String>,
}

impl Work {
    fn begin(&mut self, due: Vec<Job>) {
        for job in due {
            if !self.busy.insert(job.id.clone()) {
                tracing::warn!("{}: still busy with the last {}", job.name, job.action);
                continue;
            }
            let engine = self.engine.clone();
            self.tasks.spawn(async move {
                if let Err(error) = act(&engine, &job).await {
                    tracing::error!("{}: {error}", job.name);
                }
                job.id
            });
        }
    }
}

async fn act(engine: &Engine, job: &Job) -> Result<(), Error> {
    match job.action {
        Action::Start => match engine.container(&job.id).await? {
            Some(container) if container.running => {
                tracing::warn!("{}: not started: still running from before", job.name);
                return Ok(());
            }
            _ => engine.start(&job.id).await?,
        },
        Action::Restart => engine.restart(&job.id, job.timeout).await?,
        Action::Stop => engine.stop(&job.id, job.timeout).await?,
    }
    tracing::info!("{}: {} done", job.name, job.action);
    Ok(())
}
