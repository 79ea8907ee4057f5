//! The two engines of the machine, and what must be loaded into each before its images are asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::engine::{self, Engine, Kind};
use crate::labels::Scope;
use crate::{Error, preload};

/// How long User Docker may take until it answers (E3-007): its socket exists before it does.
const USER_LIMIT: Duration = Duration::from_secs(300);

/// System Docker, and User Docker once something wants it.
#[derive(Debug, Clone)]
pub struct Engines {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sockets: [PathBuf; 2],
    engines: [OnceCell<Engine>; 2],
    /// Directories of image tars to load first, if the caller wants that (`/var/lib/rancher/preload`).
    preload: Option<preload::Places>,
    preloaded: [OnceCell<()>; 2],
}

impl Engines {
    /// The engines that listen on these sockets.
    #[must_use]
    pub fn at(system: impl Into<PathBuf>, user: impl Into<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared {
                sockets: [system.into(), user.into()],
                engines: Default::default(),
                preload: None,
                preloaded: Default::default(),
            }),
        }
    }

    /// The engines of this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::at(engine::SYSTEM_SOCKET, engine::USER_SOCKET)
    }

    /// The same engines, loading image tars before an image is called missing.
    #[must_use]
    pub fn with_preload(self, places: preload::Places) -> Self {
        let [system, user] = self.shared.sockets.clone();
        Self {
            shared: Arc::new(Shared {
                sockets: [system, user],
                engines: Default::default(),
                preload: Some(places),
                preloaded: Default::default(),
            }),
        }
    }

    /// The engine of that kind; User Docker once it answers.
    ///
    /// # Errors
    /// When its socket does not exist, or User Docker does not answer within five minutes.
    pub async fn get(&self, kind: Kind) -> Result<&Engine, Error> {
        let i = kind as usize;
        let connect = || async {
            let engine = Engine::at(kind, &self.shared.sockets[i])?;
            if kind == Kind::User {
                engine.answers_within(USER_LIMIT).await?;
            }
            Ok(engine)
        };
        self.shared.engines[i].get_or_try_init(connect).await
    }

    /// The engine that runs services of that scope.
    ///
    /// # Errors
    /// When it does not run or does not answer.
    pub async fn for_scope(&self, scope: Scope) -> Result<&Engine, Error> {
        self.if_running(scope)
            .await?
            .ok_or_else(|| Error::Unreachable {
                engine: Kind::User.name(),
                socket: self.shared.sockets[Kind::User as usize].clone(),
                why: "its service, docker, is not running".into(),
            })
    }

    /// The engine that runs services of that scope, unless it is User Docker and that does not run. Its socket does not tell:
    /// PID 1 opens it early, and a client would wait for an engine that may never come.
    ///
    /// # Errors
    /// When System Docker fails, or User Docker does not answer.
    pub async fn if_running(&self, scope: Scope) -> Result<Option<&Engine>, Error> {
        let system = self.get(Kind::System).await?;
        if scope == Scope::System {
            return Ok(Some(system));
        }
        let stopped = system
            .container("docker")
            .await?
            .is_some_and(|c| !c.running);
        if stopped || !self.shared.sockets[Kind::User as usize].exists() {
            return Ok(None);
        }
        self.get(Kind::User).await.map(Some)
    }

    /// Loads the engine's waiting image tars; later calls wait for the first one and find nothing left to do.
    pub async fn preload(&self, kind: Kind) {
        let Some(places) = &self.shared.preload else {
            return;
        };
        let load = || async {
            if !preload::is_anything_new(places, kind) {
                return;
            }
            let scope = match kind {
                Kind::System => Scope::System,
                Kind::User => Scope::User,
            };
            match self.for_scope(scope).await {
                Ok(engine) => preload::load(engine, places).await,
                Err(error) => tracing::error!("preload: {error}"),
            }
        };
        self.shared.preloaded[kind as usize].get_or_init(load).await;
    }

    /// Where tars for that engine are looked for.
    pub(crate) fn preload_directory(&self, kind: Kind) -> PathBuf {
        let default = preload::Places::default();
        self.shared
            .preload
            .as_ref()
            .unwrap_or(&default)
            .directory(kind)
    }
}
