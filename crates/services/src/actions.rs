//! What `ros service` does to services that exist: stop, start, restart, remove.

use std::time::Duration;

use crate::Error;
use crate::engines::Engines;
use crate::project::Project;
use crate::up::{Done, Observer, Outcome};
use crate::walk::{Direction, walk};

/// Stops services, dependants first; each is killed after `timeout`.
///
/// # Errors
/// When a name is no service; then nothing was done.
pub async fn stop(
    engines: &Engines,
    project: &Project,
    names: &[String],
    timeout: Duration,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>, Error> {
    walk(
        engines,
        project,
        names,
        Direction::Stop,
        observer,
        async |engine, service| match engine.container(&service.container_name).await? {
            Some(container) if container.running => {
                engine.stop(&service.container_name, timeout).await?;
                Ok(Done::Stopped)
            }
            _ => Ok(Done::Absent),
        },
    )
    .await
}

/// Starts the containers of services, which must exist.
///
/// # Errors
/// When a name is no service; then nothing was done.
pub async fn start(
    engines: &Engines,
    project: &Project,
    names: &[String],
    observer: &dyn Observer,
) -> Result<Vec<Outcome>, Error> {
    walk(
        engines,
        project,
        names,
        Direction::Start,
        observer,
        async |engine, service| {
            if service.steering.create_only {
                return Ok(Done::Created);
            }
            engine.start(&service.container_name).await?;
            Ok(Done::Started)
        },
    )
    .await
}

/// Stops and starts services. One call of the engine does both, so a service may restart the one that it is called from.
///
/// # Errors
/// When a name is no service; then nothing was done.
pub async fn restart(
    engines: &Engines,
    project: &Project,
    names: &[String],
    timeout: Duration,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>, Error> {
    walk(
        engines,
        project,
        names,
        Direction::Start,
        observer,
        async |engine, service| {
            if service.steering.create_only {
                return Ok(Done::Created);
            }
            engine.restart(&service.container_name, timeout).await?;
            Ok(Done::Started)
        },
    )
    .await
}

/// Removes the containers of services, running or not, and their anonymous volumes if asked to.
///
/// # Errors
/// When a name is no service; then nothing was done.
pub async fn remove(
    engines: &Engines,
    project: &Project,
    names: &[String],
    volumes: bool,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>, Error> {
    walk(
        engines,
        project,
        names,
        Direction::Stop,
        observer,
        async |engine, service| {
            Ok(
                match engine.remove(&service.container_name, volumes).await? {
                    true => Done::Removed,
                    false => Done::Absent,
                },
            )
        },
    )
    .await
}
