//! Bringing services up: each the moment those that it waits for are done.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::container::{config_hash, create_body};
use crate::decision::{Decision, Recreate, Wanted, decide};
use crate::engine::{Container, Engine, Kind};
use crate::engines::Engines;
use crate::labels::{CONSOLE, Rebuild};
use crate::order::{Order, namespaces};
use crate::project::Project;
use crate::schedule::{Reached, Schedule};
use crate::service::Service;
use crate::snapshot::Snapshot;
use crate::{Error, Problem, marker, pull, route};

/// How long services that come after `network` wait for a default route (D2-016).
const ROUTE_LIMIT: Duration = Duration::from_secs(20);

/// How long those that wait for a service wait for its sign that it is ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// These never wait for a route, whatever their labels say: without a network the machine must still give a login and an engine.
const NEVER_WAIT_FOR_ROUTE: [&str; 2] = ["console", "docker"];

/// How long a container that is about to be replaced may take to end.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(10);

/// What to bring up, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Services by name; all when empty. What they wait for is started too, but not replaced or run again.
    pub names: Vec<String>,
    /// Whether containers that exist are replaced.
    pub recreate: Recreate,
    /// Only make the containers.
    pub create_only: bool,
}

/// What became of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was running already.
    Running,
    /// Its container is there and is not meant to run now.
    Created,
    /// It was started.
    Started,
    /// It ran and ended well.
    Ran,
    /// It was stopped.
    Stopped,
    /// Its container was removed.
    Removed,
    /// There was nothing to do.
    Unchanged,
}

/// One service, brought up or not.
#[derive(Debug)]
pub struct Outcome {
    /// The service.
    pub name: String,
    /// When its turn came, in microseconds of `CLOCK_BOOTTIME`.
    pub start_us: u64,
    /// When it was done.
    pub end_us: u64,
    /// What came of it.
    pub result: Result<Done, Error>,
}

/// Hears what happens while services are brought up or stopped.
pub trait Observer: Sync {
    /// A definition is wrong somewhere; the rest goes on.
    fn problem(&self, _problem: &Problem) {}
    /// The turn of a service has come.
    fn begun(&self, _service: &str) {}
    /// A service is done, or failed.
    fn done(&self, _outcome: &Outcome) {}
    /// Definitions may have changed (a service with the label `reloadconfig` is done): read them again if that is wanted.
    fn reload(&self) -> Option<Project> {
        None
    }
}

/// Does not listen.
impl Observer for () {}

/// Brings services up, as many at a time as their order allows. One that fails does not stop those that wait for it.
///
/// # Errors
/// When `options` names a service that does not exist; then nothing was done.
pub async fn up(
    engines: &Engines,
    project: Project,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>, Error> {
    for name in &options.names {
        if project.service(name).is_none() {
            return Err(Error::UnknownService { name: name.clone() });
        }
    }
    let (made, mut containers) = unbounded_channel();
    let run = Run {
        engines,
        options,
        made,
        replaced: Mutex::default(),
        route: OnceCell::new(),
        snapshots: Default::default(),
    };
    let mut project = Arc::new(project);
    let mut schedule = Schedule::default();
    fill(&mut schedule, &project, options, observer);
    let mut running = FuturesUnordered::new();
    let mut outcomes = Vec::new();
    loop {
        for name in schedule.ready() {
            observer.begun(&name);
            running.push(run.bring_up(Arc::clone(&project), name));
        }
        let next = tokio::select! {
            next = running.next() => next,
            Some(name) = containers.recv() => {
                schedule.reached(&name, Reached::Made);
                continue;
            }
        };
        let Some((outcome, reload)) = next else {
            return Ok(outcomes);
        };
        observer.done(&outcome);
        schedule.reached(&outcome.name, Reached::Done);
        outcomes.push(outcome);
        if reload && let Some(new) = observer.reload() {
            project = Arc::new(new);
            schedule.clear();
            fill(&mut schedule, &project, options, observer);
        }
    }
}

/// Puts the wanted services of a project, and what they wait for, on the schedule.
fn fill(schedule: &mut Schedule, project: &Project, options: &Options, observer: &dyn Observer) {
    let order = Order::of(project);
    for problem in project.problems.iter().chain(&order.problems) {
        observer.problem(problem);
    }
    let all: Vec<usize> = (0..project.services.len()).collect();
    let wanted: Vec<usize> = all
        .into_iter()
        .filter(|&i| is_wanted(options, &project.services[i]))
        .collect();
    let closure = order.closure(&wanted);
    let name = |i: usize| project.services[i].name.clone();
    for step in &order.steps {
        if closure.contains(&step.service) {
            schedule.add(
                &name(step.service),
                step.waits_for
                    .iter()
                    .map(|(on, why)| (name(*on), why.until())),
            );
        }
    }
}

fn is_wanted(options: &Options, service: &Service) -> bool {
    let named = |name: &String| *name == service.name || *name == service.container_name;
    options.names.is_empty() || options.names.iter().any(named)
}

struct Run<'a> {
    engines: &'a Engines,
    options: &'a Options,
    /// Hears which services have a container now.
    made: UnboundedSender<String>,
    /// Containers that were replaced in this run, by name.
    replaced: Mutex<BTreeSet<String>>,
    /// Whether there is a default route; looked for once.
    route: OnceCell<bool>,
    /// What the engines had when this run first asked them.
    snapshots: [OnceCell<Snapshot>; 2],
}

impl Run<'_> {
    async fn bring_up(&self, project: Arc<Project>, name: String) -> (Outcome, bool) {
        let start_us = coracle_boot_log::now_us();
        let (result, reload) = match project.service(&name) {
            Some(service) => {
                let result = self.service(&project, service).await;
                (result, service.steering.reload_config)
            }
            None => (Err(Error::UnknownService { name: name.clone() }), false),
        };
        let outcome = Outcome {
            name,
            start_us,
            end_us: coracle_boot_log::now_us(),
            result,
        };
        (outcome, reload)
    }

    async fn service(&self, project: &Project, service: &Service) -> Result<Done, Error> {
        let steering = &service.steering;
        let name = service.container_name.as_str();
        let wanted = is_wanted(self.options, service);
        if wanted && waits_for_route(service) && !self.default_route().await {
            tracing::warn!("{}: starting without a default route", service.name);
        }
        let engine = self.engines.for_scope(steering.scope).await?;
        let existing = self.snapshot(engine).await?.container(name).cloned();
        let existed = existing.is_some();
        let mut running = existing.as_ref().is_some_and(|c| c.running);
        let mut made = false;
        let mut complaint = None;
        if wanted || !existed {
            match self.make(project, service, engine, existing).await {
                Ok(Decision::Keep) => {}
                Ok(Decision::Make | Decision::Replace) => (made, running) = (true, false),
                // Better the container of before than none: it may be the console.
                Err(error @ Error::NoImage { .. }) if existed => complaint = Some(error),
                Err(error) => return Err(error),
            }
        }
        // Somebody listens for as long as services are brought up.
        let _ = self.made.send(service.name.clone());
        let done = if steering.create_only || self.options.create_only {
            match made {
                true => Done::Created,
                false => Done::Unchanged,
            }
        } else if running && steering.detach {
            Done::Running
        } else if existed && !wanted && !steering.detach {
            // It ran for an earlier start of those that wait for it.
            Done::Unchanged
        } else {
            engine.start(name).await?;
            if steering.detach {
                wait_until_ready(service).await;
                Done::Started
            } else {
                match engine.wait(name).await? {
                    0 => Done::Ran,
                    status => return Err(Error::Exited { status }),
                }
            }
        };
        complaint.map_or(Ok(done), Err)
    }

    /// Sees to it that the container is there and as it should be; says what that took.
    async fn make(
        &self,
        project: &Project,
        service: &Service,
        engine: &Engine,
        existing: Option<Container>,
    ) -> Result<Decision, Error> {
        let name = service.container_name.as_str();
        let image = self.image_id(engine, &service.image).await?;
        let partner_replaced = {
            let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
            namespaces(service).any(|partner| replaced.contains(project.container_name(partner)))
        };
        let hash = config_hash(project, service);
        let old_image_gone = match &existing {
            Some(old) if image.is_some() && image.as_ref() != Some(&old.image) => {
                self.image_id(engine, &old.image).await?.is_none()
            }
            _ => false,
        };
        let wanted = Wanted {
            hash: &hash,
            image: image.as_deref(),
            old_image_gone,
            console: service.labels.get(CONSOLE).map(String::as_str),
            rebuild: service.steering.rebuild,
            partner_replaced,
        };
        let decision = decide(existing.as_ref(), wanted, self.options.recreate);
        if decision == Decision::Keep {
            return Ok(decision);
        }
        if image.is_none() {
            self.obtain(engine, &service.image).await?;
        }
        if decision == Decision::Replace {
            engine.stop(name, REPLACE_TIMEOUT).await?;
            // What is made anew each time leaves no volumes behind.
            let volumes = service.steering.rebuild == Rebuild::Always;
            engine.remove(name, volumes).await?;
            let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
            replaced.insert(name.into());
        }
        engine.create(name, create_body(project, service)).await?;
        Ok(decision)
    }

    /// Gets an image that the engine lacks: from the waiting tars, and for User Docker from its registry (D2-015, D2-019).
    async fn obtain(&self, engine: &Engine, image: &str) -> Result<(), Error> {
        let kind = engine.kind();
        self.engines.preload(kind).await;
        if engine.image_id(image).await?.is_some() {
            return Ok(());
        }
        if kind == Kind::User && self.default_route().await {
            return pull::pull(engine, image).await;
        }
        Err(Error::NoImage {
            image: image.into(),
            command: kind.command(),
            preload: self.engines.preload_directory(kind),
        })
    }

    async fn snapshot(&self, engine: &Engine) -> Result<&Snapshot, Error> {
        let take = || Snapshot::of(engine);
        self.snapshots[engine.kind() as usize]
            .get_or_try_init(take)
            .await
    }

    /// The id of an image; asks the engine only about images that it did not list under that name.
    async fn image_id(&self, engine: &Engine, image: &str) -> Result<Option<String>, Error> {
        match self.snapshot(engine).await?.image_id(image) {
            Some(id) => Ok(Some(id.clone())),
            None => engine.image_id(image).await,
        }
    }

    async fn default_route(&self) -> bool {
        let look = || route::wait_for_default(ROUTE_LIMIT);
        *self.route.get_or_init(look).await
    }
}

/// Waits for the file that the service makes when it is ready, if it does.
async fn wait_until_ready(service: &Service) {
    let Some(file) = &service.steering.done else {
        return;
    };
    let reason = match marker::appears(file.clone(), READY_LIMIT).await {
        Ok(true) => return,
        Ok(false) => format!("it is not there after {} s", READY_LIMIT.as_secs()),
        Err(error) => error.to_string(),
    };
    let file = file.display();
    tracing::warn!("{}: not waiting for {file}: {reason}", service.name);
}

fn waits_for_route(service: &Service) -> bool {
    service.steering.after.iter().any(|name| name == "network")
        && !NEVER_WAIT_FOR_ROUTE.contains(&service.name.as_str())
}
