//! The two engines that are compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

use crate::archive;

/// An engine by its socket.
#[derive(Debug, Clone)]
pub struct Engine {
    /// What reports call it; also part of file names.
    pub name: &'static str,
    socket: PathBuf,
}

/// System Docker, and the dockerd that says what is right.
#[derive(Debug, Clone)]
pub struct Pair {
    /// System Docker.
    pub ours: Engine,
    /// dockerd.
    pub reference: Engine,
}

impl Engine {
    /// For `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Runs the docker client.
    ///
    /// # Errors
    /// There is no client, or it fails.
    fn docker(&self, arguments: &[&str]) -> Result<Output> {
        let output = Command::new("docker")
            .args(arguments)
            .env("DOCKER_HOST", self.host())
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null())
            .output()
            .context("cannot run docker (package docker-cli)")?;
        ensure!(
            output.status.success(),
            "{}: docker {}: {}",
            self.name,
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(output)
    }
}

impl Pair {
    /// Engines that listen on these sockets.
    pub fn new(ours: &Path, reference: &Path) -> Self {
        let engine = |name, socket: &Path| Engine {
            name,
            socket: socket.into(),
        };
        Self {
            ours: engine("system-docker", ours),
            reference: engine("dockerd", reference),
        }
    }

    /// Loads the images that the tests expect into both.
    ///
    /// # Errors
    /// There is no busybox to make them of, or an engine refuses them.
    pub fn load_images(&self, dir: &Path) -> Result<()> {
        let path = dir.join("images.tar");
        archive::write(&path)?;
        for engine in [&self.reference, &self.ours] {
            engine.docker(&["load", "-q", "-i", &path.display().to_string()])?;
        }
        Ok(())
    }
}
