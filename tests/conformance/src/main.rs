//! Compares System Docker with dockerd: docker-py's integration tests and scripted sessions of the docker client, each run against both.
//!
//! `README.md` beside this crate says how to run it and what is compared.

mod archive;
mod compare;
mod docker_py;
mod engine;
mod host;
mod known;
mod mask;
mod registry;
mod report;
mod session;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use coracle_testkit::Project;

use crate::engine::Pair;
use crate::known::Known;
use crate::report::Report;

/// Runs the same clients against System Docker and dockerd, and compares.
#[derive(Debug, Parser)]
#[command(name = "coracle-conformance")]
struct Options {
    #[command(subcommand)]
    place: Place,
    #[command(flatten)]
    clients: Clients,
}

/// Where the two engines are.
#[derive(Debug, Subcommand)]
enum Place {
    /// Start both on this machine, in namespaces of their own.
    Host(host::Options),
    /// Start a machine from `dist/`, and System Docker as a plain process beside its User Docker.
    Vm(vm::Options),
    /// Use two engines that run. They lose all that they have.
    Sockets {
        /// System Docker's socket.
        #[arg(long, value_name = "PATH")]
        system_docker: PathBuf,
        /// dockerd's socket.
        #[arg(long, value_name = "PATH")]
        dockerd: PathBuf,
    },
}

/// What is run.
#[derive(Debug, Args)]
struct Clients {
    /// A source tree of docker-py, whose integration tests are run.
    #[arg(long, global = true, value_name = "DIR")]
    docker_py: Option<PathBuf>,
    /// A Python with pytest, requests, paramiko and websocket-client.
    #[arg(long, global = true, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// The compose plugin of the docker client; without it its sessions are skipped.
    #[arg(long, global = true, value_name = "FILE")]
    compose: Option<PathBuf>,
    /// Seconds that a test of docker-py or a command of a session may take.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 120)]
    limit: u32,
    /// Where logs and transcripts are written; `target/conformance` unless given.
    #[arg(long, global = true, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Run only what contains one of these: names of sessions, or `file::Class::test`.
    #[arg(long, global = true, value_name = "TEXT")]
    only: Vec<String>,
}

impl Clients {
    /// Whether a test or session of this name is to run.
    fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| name.contains(text.as_str()))
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(report) if report.is_conformant() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("coracle-conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<Report> {
    let project = Project::here();
    let home = project.root().join("tests/conformance");
    let logs = match &options.clients.logs {
        Some(logs) => std::path::absolute(logs)?,
        None => project.root().join("target/conformance"),
    };
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let known = Known::read(&home.join("known-differences.yml"))?;
    match &options.place {
        Place::Host(place) => {
            let known = if host::has_controllers() {
                known
            } else {
                known.on_cgroup_v1()
            };
            let engines = host::start(place, &project, &logs)?;
            compare(options, &home, &logs, &known, engines.pair())
        }
        Place::Vm(place) => {
            let engines = vm::start(place, project, &logs)?;
            compare(options, &home, &logs, &known, engines.pair())
        }
        Place::Sockets {
            system_docker,
            dockerd,
        } => compare(
            options,
            &home,
            &logs,
            &known,
            &Pair::new(system_docker, dockerd),
        ),
    }
}

fn compare(
    options: &Options,
    home: &std::path::Path,
    logs: &std::path::Path,
    known: &Known,
    engines: &Pair,
) -> Result<Report> {
    let clients = &options.clients;
    let mut report = Report::default();
    session::compare_all(
        clients,
        &home.join("sessions"),
        logs,
        engines,
        known,
        &mut report,
    )?;
    match &clients.docker_py {
        Some(tree) => docker_py::compare(clients, tree, logs, engines, known, &mut report)?,
        None => report.skip("docker-py: no source tree; --docker-py DIR names one"),
    }
    report.print();
    Ok(report)
}
