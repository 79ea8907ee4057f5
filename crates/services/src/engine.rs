//! An engine as the services see it: the few calls of the Docker API that they need, with errors that say what failed on what.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerSummary};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    RestartContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use bollard::{ClientVersion, Docker};
use futures_util::StreamExt as _;

use crate::Error;
use crate::labels;

/// System Docker's socket.
pub const SYSTEM_SOCKET: &str = "/var/run/system-docker.sock";
/// User Docker's socket, opened by PID 1: a client that connects before the engine runs waits.
pub const USER_SOCKET: &str = "/var/run/docker.sock";

/// The longest the client waits for the head of an answer. Stops and loads take as long as they take, so this is only
/// there to end a call to an engine that hangs.
const ANSWER: Duration = Duration::from_secs(1800);

/// The API version spoken: the oldest that Docker 29 still accepts, known to every engine since 25.
const API: ClientVersion = ClientVersion {
    major_version: 1,
    minor_version: 44,
};

/// One of the two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// System Docker.
    System,
    /// User Docker.
    User,
}

impl Kind {
    /// What to call it in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "System Docker",
            Self::User => "User Docker",
        }
    }

    /// Its command line client.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::System => "system-docker",
            Self::User => "docker",
        }
    }
}

/// A connection to an engine. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Engine {
    kind: Kind,
    socket: PathBuf,
    docker: Docker,
}

/// A container that the engine knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Whether its process runs.
    pub running: bool,
    /// The image it was made from, by id.
    pub image: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

impl Engine {
    /// A client for the engine that listens on `socket`. The connection itself is made by the calls.
    ///
    /// # Errors
    /// When there is no such socket.
    pub fn at(kind: Kind, socket: &Path) -> Result<Self, Error> {
        let path = socket.to_string_lossy();
        match Docker::connect_with_unix(&path, ANSWER.as_secs(), &API) {
            Ok(docker) => Ok(Self {
                kind,
                socket: socket.into(),
                docker,
            }),
            Err(e) => Err(Error::Unreachable {
                engine: kind.name(),
                socket: socket.into(),
                why: innermost(&e),
            }),
        }
    }

    /// Which engine it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The client, for calls that this type does not wrap.
    #[must_use]
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Waits until the engine answers.
    ///
    /// # Errors
    /// When it has not after `limit`.
    pub async fn answers_within(&self, limit: Duration) -> Result<(), Error> {
        match tokio::time::timeout(limit, self.docker.ping()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.failed("ping", self.kind.name(), error)),
            Err(_) => Err(Error::Unreachable {
                engine: self.kind.name(),
                socket: self.socket.clone(),
                why: format!("no answer for {} s", limit.as_secs()),
            }),
        }
    }

    /// The id of an image, or `None` when the engine does not have it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, Error> {
        match self.docker.inspect_image(name).await {
            Ok(image) => Ok(Some(image.id.unwrap_or_default())),
            Err(e) if has_status(&e, 404) => Ok(None),
            Err(e) => Err(self.failed("inspect image", name, e)),
        }
    }

    /// The container of that name, or `None` when there is none.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn container(&self, name: &str) -> Result<Option<Container>, Error> {
        match self.docker.inspect_container(name, None).await {
            Ok(found) => Ok(Some(Container {
                id: found.id.unwrap_or_default(),
                running: found.state.and_then(|s| s.running).unwrap_or(false),
                image: found.image.unwrap_or_default(),
                labels: found.config.and_then(|c| c.labels).unwrap_or_default(),
            })),
            Err(e) if has_status(&e, 404) => Ok(None),
            Err(e) => Err(self.failed("inspect container", name, e)),
        }
    }

    /// Makes a container.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<(), Error> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let created = self.docker.create_container(Some(options), body).await;
        let created = created.map_err(|e| self.failed("create container", name, e))?;
        for warning in created.warnings {
            tracing::warn!("{name}: {warning}");
        }
        Ok(())
    }

    /// Starts a container; one that runs already is left alone.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(&self, name: &str) -> Result<(), Error> {
        let started = self.docker.start_container(name, None).await;
        started.map_err(|e| self.failed("start container", name, e))
    }

    /// Waits until a container does not run and returns its exit status.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn wait(&self, name: &str) -> Result<i64, Error> {
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        let mut answers = std::pin::pin!(self.docker.wait_container(name, Some(options)));
        match answers.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(e)) => Err(self.failed("wait for container", name, e)),
            None => Ok(0),
        }
    }

    /// Stops a container; it is killed after `timeout`. One that does not run is left alone.
    ///
    /// # Errors
    /// When there is no such container or the engine fails.
    pub async fn stop(&self, name: &str, timeout: Duration) -> Result<(), Error> {
        let options = StopContainerOptionsBuilder::default()
            .t(seconds(timeout))
            .build();
        let stopped = self.docker.stop_container(name, Some(options)).await;
        stopped.map_err(|e| self.failed("stop container", name, e))
    }

    /// Stops and starts a container.
    ///
    /// # Errors
    /// When there is no such container or the engine fails.
    pub async fn restart(&self, name: &str, timeout: Duration) -> Result<(), Error> {
        let options = RestartContainerOptionsBuilder::default()
            .t(seconds(timeout))
            .build();
        let restarted = self.docker.restart_container(name, Some(options)).await;
        restarted.map_err(|e| self.failed("restart container", name, e))
    }

    /// Removes a container, running or not, and its anonymous volumes if asked to. Says whether there was one.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn remove(&self, name: &str, volumes: bool) -> Result<bool, Error> {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(volumes)
            .build();
        match self.docker.remove_container(name, Some(options)).await {
            Ok(()) => Ok(true),
            Err(e) if has_status(&e, 404) => Ok(false),
            Err(e) => Err(self.failed("remove container", name, e)),
        }
    }

    /// All containers, running or not, that carry `label` (`KEY` or `KEY=VALUE`); every container when `None`.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn list(&self, label: Option<&str>) -> Result<Vec<ContainerSummary>, Error> {
        let mut options = ListContainersOptionsBuilder::default().all(true);
        if let Some(label) = label {
            options = options.filters(&HashMap::from([("label", vec![label.to_string()])]));
        }
        let listed = self.docker.list_containers(Some(options.build())).await;
        listed.map_err(|e| self.failed("list", "containers", e))
    }

    /// The error for a call that did not succeed.
    pub(crate) fn failed(
        &self,
        action: &'static str,
        what: impl Into<String>,
        error: bollard::errors::Error,
    ) -> Error {
        use bollard::errors::Error as Cause;
        match error {
            Cause::HyperLegacyError { ref err } if err.is_connect() => Error::Unreachable {
                engine: self.kind.name(),
                socket: self.socket.clone(),
                why: innermost(&error),
            },
            Cause::DockerResponseServerError { message, .. } => Error::Engine {
                action,
                what: what.into(),
                why: message,
            },
            other => Error::Engine {
                action,
                what: what.into(),
                why: innermost(&other),
            },
        }
    }

    /// The containers of the services.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn service_containers(&self) -> Result<Vec<ContainerSummary>, Error> {
        let label = format!("{}={}", labels::PROJECT, labels::PROJECT_NAME);
        self.list(Some(&label)).await
    }
}

fn seconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX)
}

fn has_status(error: &bollard::errors::Error, status: u16) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// The text of the first cause; what wraps it only says which layer noticed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(cause) = at.source() {
        at = cause;
    }
    at.to_string()
}
