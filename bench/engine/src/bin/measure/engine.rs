//! One engine, and what it is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::http;

/// All containers of the benchmark have it.
const LABEL: &str = "engine-bench";

/// An engine and the runtime that it uses.
#[derive(Clone, Debug)]
pub struct Engine {
    pub name: String,
    pub socket: PathBuf,
    runtime: Option<String>,
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, socket) = text.split_once('=').ok_or("expected NAME=SOCKET")?;
        Ok(Self {
            name: name.to_owned(),
            socket: socket.into(),
            runtime: None,
        })
    }
}

impl Engine {
    pub fn with_runtime(&self, runtime: &str) -> Self {
        Self {
            name: format!("{}-{runtime}", self.name),
            socket: self.socket.clone(),
            runtime: Some(runtime.to_owned()),
        }
    }

    /// Whether it knows a runtime besides its own.
    pub fn has_runtime(&self, name: &str) -> Result<bool> {
        Ok(self.ask("GET", "/info", &Value::Null)?["Runtimes"]
            .get(name)
            .is_some())
    }

    /// Loads the image that everything uses.
    pub fn prepare(&self, busybox: &Path) -> Result<()> {
        self.clear();
        self.load(&fs::read(busybox).with_context(|| format!("read {}", busybox.display()))?)
            .with_context(|| format!("load the image into {}", self.name))
    }

    pub fn ask(&self, method: &str, target: &str, body: &Value) -> Result<Value> {
        http::json(&self.socket, method, target, body)
    }

    pub fn load(&self, archive: &[u8]) -> Result<()> {
        http::ask(
            &self.socket,
            "POST",
            "/images/load?quiet=1",
            archive,
            "application/x-tar",
        )
        .map(drop)
    }

    pub fn pull(&self, name: &str) -> Result<()> {
        let target = format!("/images/create?fromImage={name}&tag=latest");
        http::ask(&self.socket, "POST", &target, b"", "text/plain").map(drop)
    }

    /// Creates a container of `command` in a network; gives its id.
    pub fn create(&self, command: &[&str], network: &str) -> Result<String> {
        let mut host = json!({"NetworkMode": network});
        if let Some(runtime) = &self.runtime {
            host["Runtime"] = json!(runtime);
        }
        // What ends at once when it is told to.
        let body = json!({"Image": "busybox:test", "Cmd": command, "Labels": {LABEL: ""}, "StopSignal": "KILL", "HostConfig": host});
        let made = self.ask("POST", "/containers/create", &body)?;
        Ok(made["Id"].as_str().context("no id")?.to_owned())
    }

    pub fn start(&self, id: &str) -> Result<()> {
        let target = format!("/containers/{id}/start");
        http::ask(&self.socket, "POST", &target, b"", "application/json").map(drop)
    }

    pub fn wait(&self, id: &str) -> Result<()> {
        self.ask("POST", &format!("/containers/{id}/wait"), &Value::Null)
            .map(drop)
    }

    pub fn remove(&self, id: &str) -> Result<()> {
        self.ask(
            "DELETE",
            &format!("/containers/{id}?force=1&v=1"),
            &Value::Null,
        )
        .map(drop)
    }

    /// From nothing to nothing.
    pub fn cycle(&self, network: &str) -> Result<()> {
        let id = self.create(&["true"], network)?;
        self.start(&id)?;
        self.wait(&id)?;
        self.remove(&id)
    }

    /// A container that runs.
    pub fn running(&self, network: &str) -> Result<String> {
        let id = self.create(&["sleep", "100000"], network)?;
        self.start(&id)?;
        Ok(id)
    }

    /// Runs a program in a container that runs, to its end.
    pub fn exec(&self, id: &str) -> Result<()> {
        let body = json!({"Cmd": ["true"], "AttachStdout": true, "AttachStderr": true});
        let made = self.ask("POST", &format!("/containers/{id}/exec"), &body)?;
        http::exec(&self.socket, made["Id"].as_str().context("no id")?).map(drop)
    }

    /// Removes an image; when that fails, the next time is too short, which shows in the minimum.
    pub fn forget_image(&self, name: &str) {
        let _ = self.ask("DELETE", &format!("/images/{name}?force=1"), &Value::Null);
    }

    /// Removes what the benchmark has made; what is left is not measured, so failures do not matter.
    pub fn clear(&self) {
        let filters = format!("%7B%22label%22%3A%5B%22{LABEL}%22%5D%7D");
        let all = self.ask(
            "GET",
            &format!("/containers/json?all=1&filters={filters}"),
            &Value::Null,
        );
        for container in all.unwrap_or_default().as_array().into_iter().flatten() {
            let _ = self.remove(container["Id"].as_str().unwrap_or_default());
        }
    }
}
