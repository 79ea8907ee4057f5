//! The services at boot, called from PID 1 once System Docker answers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use coracle_boot_log::{Entry, Kind as EntryKind};

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
    let loaded = coracle_config::load(root);
    let project = definitions::from_config(&loaded, root);
    let observer = BootObserver {
        root,
        boot_log,
        reloaded: AtomicBool::new(false),
    };
    if loaded.config.rancher.preload_wait {
        engines.preload(Kind::System).await;
    }
    let options = Options::default();
    let services = async {
        if let Err(error) = up(engines, project, &options, &observer).await {
            tracing::error!("services: {error}");
        }
    };
    tokio::join!(services, engines.preload(Kind::System));
    engines.preload(Kind::User).await;
}

struct BootObserver<'a> {
    root: &'a Path,
    boot_log: &'a Path,
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
        self.reloaded.store(true, Ordering::Relaxed);
        Some(definitions::load(self.root))
    }
}
