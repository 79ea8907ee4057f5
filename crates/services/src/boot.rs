//! The services at boot, called from PID 1 once System Docker answers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use coracle_boot_log::{Entry, Kind as EntryKind};

use crate::definitions::Sources;
use crate::engine::Kind;
use crate::engines::Engines;
use crate::project::Project;
use crate::up::{Observer, Options, Outcome, up};
use crate::{Problem, definitions};

/// Starts all services of the machine whose root is `root` and returns when each has had its turn. Whatever fails is logged,
/// and noted in the boot log at `boot_log`; the rest goes on (A7-002, A7-004, A7-006).
///
/// Image tars that wait on the disk are loaded meanwhile; a service whose image is missing waits for that, the others do not,
/// unless `rancher.preload_wait` says so (B3-027).
pub async fn boot(root: &Path, engines: &Engines, boot_log: &Path) {
    let sources = Sources::below(root);
    let loaded = coracle_config::load(root);
    let project = definitions::from_config(&loaded, root);
    let observer = BootObserver {
        root,
        boot_log,
        sources: Mutex::new(sources),
        reloaded: AtomicBool::new(false),
    };
    if loaded.config.rancher.preload_wait {
        engines.preload(Kind::System).await;
    }
    tokio::join!(
        start_all(engines, project, &observer),
        engines.preload(Kind::System)
    );
    engines.preload(Kind::User).await;
}

async fn start_all(engines: &Engines, project: Project, observer: &BootObserver<'_>) {
    if let Err(error) = up(engines, project, &Options::default(), observer).await {
        tracing::error!("services: {error}");
    }
}

struct BootObserver<'a> {
    root: &'a Path,
    boot_log: &'a Path,
    sources: Mutex<Sources>,
    /// Problems are told once; a reload finds most of them again.
    reloaded: AtomicBool,
}

impl Observer for BootObserver<'_> {
    fn problem(&self, problem: &Problem) {
        if !self.reloaded.load(Ordering::Relaxed) {
            tracing::warn!("{problem}");
        }
    }

    fn done(&self, outcome: &Outcome) {
        let error = outcome.result.as_ref().err().map(ToString::to_string);
        match &error {
            Some(why) => tracing::error!("service {}: {why}", outcome.name),
            None => tracing::debug!("service {}: {:?}", outcome.name, outcome.result),
        }
        let entry = Entry {
            kind: EntryKind::Service,
            name: outcome.name.clone(),
            start_us: outcome.start_us,
            end_us: outcome.end_us,
            error,
        };
        if let Err(error) = coracle_boot_log::append(self.boot_log, &[entry]) {
            tracing::warn!("{error}");
        }
    }

    fn reload(&self) -> Option<Project> {
        let now = Sources::below(self.root);
        let mut before = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if *before == now {
            return None;
        }
        *before = now;
        self.reloaded.store(true, Ordering::Relaxed);
        Some(definitions::load(self.root))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Project, shut_down};

    fn can_be_spawned(_: impl Future<Output = ()> + Send + 'static) {}

    #[test]
    fn pid_1_can_spawn_boot_and_shutdown() {
        can_be_spawned(async {
            let engines = Engines::of_this_machine();
            boot(
                Path::new("/"),
                &engines,
                Path::new("/run/coracle/boot.json"),
            )
            .await;
            let project = Project::default();
            let _ = shut_down(&engines, &project, Duration::from_secs(1), &()).await;
        });
    }
}
