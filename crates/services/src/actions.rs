//! What `ros service` does to services that exist: stop, start, restart, remove.

use std::time::Duration;

use crate::Error;
use crate::engines::Engines;
use crate::project::Project;
use crate::up::{Observer, Outcome};
use crate::walk::{Act, walk};

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
    walk(engines, project, names, observer, &Act::Stop(&|_| timeout)).await
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
    walk(engines, project, names, observer, &Act::Start).await
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
    walk(engines, project, names, observer, &Act::Restart(timeout)).await
}

/// Removes the containers of services, running or not, and their volumes without a name if asked to.
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
    walk(engines, project, names, observer, &Act::Remove { volumes }).await
}
