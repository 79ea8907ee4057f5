//! The end of the machine's run: every container of System Docker is stopped (inventory A8-003, A8-004).

use std::time::Duration;

use futures_util::future::join_all;

use crate::Error;
use crate::engine::Kind;
use crate::engines::Engines;
use crate::labels::Scope;
use crate::project::Project;
use crate::service::Service;
use crate::up::Observer;
use crate::walk::{Act, walk};

/// How long a service may take to end.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is kept of the whole limit for the services that stop after `docker`.
const RESERVE: Duration = Duration::from_secs(5);

/// Stops everything that runs in System Docker: first what is no service, then the services in reverse order of start. `docker`
/// gets most of `limit`, because it stops the users' containers; the others two seconds each.
///
/// Services in User Docker are left to it: it stops them with the rest of its containers.
///
/// # Errors
/// When System Docker fails, or `limit` has passed (then something still runs).
pub async fn shut_down(
    engines: &Engines,
    project: &Project,
    limit: Duration,
    observer: &dyn Observer,
) -> Result<(), Error> {
    match tokio::time::timeout(limit, stop_all(engines, project, limit, observer)).await {
        Ok(result) => result,
        Err(_) => Err(Error::ShutdownLimit { limit }),
    }
}

async fn stop_all(
    engines: &Engines,
    project: &Project,
    limit: Duration,
    observer: &dyn Observer,
) -> Result<(), Error> {
    stop_others(engines, project).await?;
    let system: Vec<String> = project
        .services
        .iter()
        .filter(|s| s.steering.scope == Scope::System && !s.steering.create_only)
        .map(|s| s.name.clone())
        .collect();
    if system.is_empty() {
        return Ok(());
    }
    let docker = limit.saturating_sub(RESERVE).max(SERVICE_TIMEOUT);
    let timeout = |service: &Service| match service.name.as_str() {
        "docker" => docker,
        _ => SERVICE_TIMEOUT,
    };
    walk(engines, project, &system, observer, &Act::Stop(&timeout)).await?;
    Ok(())
}

/// Stops the running containers that belong to no service.
async fn stop_others(engines: &Engines, project: &Project) -> Result<(), Error> {
    let engine = engines.get(Kind::System).await?;
    let others = engine
        .list(None)
        .await?
        .into_iter()
        .filter_map(|container| {
            let name = container
                .names?
                .first()?
                .trim_start_matches('/')
                .to_string();
            let runs = container.state == Some(bollard::models::ContainerSummaryStateEnum::RUNNING);
            (runs && project.service(&name).is_none()).then_some(name)
        });
    let stops = others.map(|name| async move {
        if let Err(error) = engine.stop(&name, SERVICE_TIMEOUT).await {
            tracing::warn!("{error}");
        }
    });
    join_all(stops).await;
    Ok(())
}
