//! What is measured.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::engine::Engine;
use crate::registry::Registry;
use crate::{Options, image, memory};

/// One line of the result.
pub struct Quantity {
    pub name: &'static str,
    pub unit: &'static str,
    /// How often it is done, when not as often as the user says: a run has several values.
    pub runs: Option<usize>,
    /// Does it once, and gives the values.
    pub measure: fn(&Engine, &Options) -> Result<Vec<f64>>,
}

/// In this order; quantities of memory first, before anything has made the engines larger.
pub const QUANTITIES: &[Quantity] = &[
    Quantity {
        name: "PSS idle",
        unit: "MB",
        runs: Some(1),
        measure: idle,
    },
    Quantity {
        name: "PSS per container",
        unit: "MB",
        runs: Some(1),
        measure: per_container,
    },
    Quantity {
        name: "create+start+wait+rm, no network",
        unit: "ms",
        runs: None,
        measure: |engine, _| timed(|| engine.cycle("none")),
    },
    Quantity {
        name: "create+start+wait+rm, bridge",
        unit: "ms",
        runs: None,
        measure: |engine, _| timed(|| engine.cycle("bridge")),
    },
    Quantity {
        name: "docker run --rm",
        unit: "ms",
        runs: None,
        measure: run,
    },
    Quantity {
        name: "docker version",
        unit: "ms",
        runs: None,
        measure: |engine, _| timed(|| docker(engine, &["version"])),
    },
    Quantity {
        name: "exec",
        unit: "ms",
        runs: Some(1),
        measure: exec,
    },
    Quantity {
        name: "start in parallel",
        unit: "ms",
        runs: None,
        measure: parallel,
    },
    Quantity {
        name: "ps, 10 containers",
        unit: "ms",
        runs: Some(1),
        measure: |engine, options| list(engine, options, 10),
    },
    Quantity {
        name: "ps, many containers",
        unit: "ms",
        runs: Some(1),
        measure: |engine, options| list(engine, options, options.many),
    },
    Quantity {
        name: "one more of 10",
        unit: "ms",
        runs: Some(1),
        measure: |engine, options| one_more(engine, options, 10),
    },
    Quantity {
        name: "one more of many",
        unit: "ms",
        runs: Some(1),
        measure: |engine, options| one_more(engine, options, options.many),
    },
    Quantity {
        name: "pull",
        unit: "ms",
        runs: None,
        measure: pull,
    },
    Quantity {
        name: "load",
        unit: "ms",
        runs: None,
        measure: load,
    },
    Quantity {
        name: "log throughput",
        unit: "ms",
        runs: None,
        measure: log,
    },
];

/// How many containers show what one takes.
const RUNNING: u32 = 20;

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn timed(action: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    let begin = Instant::now();
    action()?;
    Ok(vec![milliseconds(begin.elapsed())])
}

fn idle(engine: &Engine, _: &Options) -> Result<Vec<f64>> {
    Ok(vec![memory::of_engine(&engine.socket)?])
}

/// Of the engine's own processes; what runs in the containers is the same everywhere.
fn per_container(engine: &Engine, _: &Options) -> Result<Vec<f64>> {
    // Threads and buffers that the first ones need stay.
    engine.cycle("none")?;
    let before = memory::of_engine(&engine.socket)?;
    for _ in 0..RUNNING {
        engine.running("none")?;
    }
    let after = memory::of_engine(&engine.socket)?;
    Ok(vec![(after - before) / f64::from(RUNNING)])
}

/// The docker command, the same one for all.
fn docker(engine: &Engine, arguments: &[&str]) -> Result<()> {
    let output = Command::new("docker")
        .arg(format!("--host=unix://{}", engine.socket.display()))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("run docker")?;
    if !output.status.success() {
        bail!(
            "docker {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

fn run(engine: &Engine, _: &Options) -> Result<Vec<f64>> {
    timed(|| docker(engine, &["run", "--rm", "busybox:test", "true"]))
}

fn exec(engine: &Engine, options: &Options) -> Result<Vec<f64>> {
    let id = engine.running("none")?;
    engine.exec(&id)?;
    let mut values = Vec::new();
    for _ in 0..options.runs {
        values.extend(timed(|| engine.exec(&id))?);
    }
    Ok(values)
}

fn parallel(engine: &Engine, options: &Options) -> Result<Vec<f64>> {
    let ids: Result<Vec<String>> = (0..options.parallel)
        .map(|_| engine.create(&["sleep", "100000"], "none"))
        .collect();
    let ids = ids?;
    timed(|| {
        thread::scope(|scope| {
            let starts: Vec<_> = ids
                .iter()
                .map(|id| scope.spawn(|| engine.start(id)))
                .collect();
            for start in starts {
                start
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            }
            Ok(())
        })
    })
}

/// Makes containers until there are `count`.
fn fill(engine: &Engine, count: usize) -> Result<()> {
    for _ in 0..count {
        engine.create(&["true"], "none")?;
    }
    Ok(())
}

fn list(engine: &Engine, options: &Options, count: usize) -> Result<Vec<f64>> {
    fill(engine, count)?;
    let mut values = Vec::new();
    for _ in 0..options.runs {
        values.extend(timed(|| {
            // `docker ps` asks for those that run.
            let shown = engine.ask("GET", "/containers/json", &Value::Null)?;
            ensure!(shown.is_array(), "no list");
            Ok(())
        })?);
    }
    Ok(values)
}

fn one_more(engine: &Engine, options: &Options, count: usize) -> Result<Vec<f64>> {
    fill(engine, count)?;
    let mut values = Vec::new();
    for _ in 0..options.runs {
        values.extend(timed(|| engine.cycle("none"))?);
    }
    Ok(values)
}

fn pull(engine: &Engine, options: &Options) -> Result<Vec<f64>> {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    if REGISTRY.get().is_none() {
        // The first wins; there is one thread.
        let _ = REGISTRY.set(Registry::start(image::made(options.image)?)?);
    }
    let name = REGISTRY.get().context("no registry")?.name();
    let taken = timed(|| engine.pull(&name));
    engine.forget_image(&name);
    taken
}

fn load(engine: &Engine, options: &Options) -> Result<Vec<f64>> {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    if ARCHIVE.get().is_none() {
        let _ = ARCHIVE.set(image::made(options.image)?.archive()?);
    }
    let archive = ARCHIVE.get().context("no archive")?;
    let taken = timed(|| engine.load(archive));
    engine.forget_image(image::NAME);
    taken
}

/// A container that writes lines to its log, from its start to its end.
fn log(engine: &Engine, options: &Options) -> Result<Vec<f64>> {
    let bytes = options.log * 1_000_000;
    let script =
        format!("busybox yes 'a line of a log, as long as they are' | busybox head -c {bytes}");
    let id = engine.create(&["sh", "-c", &script], "none")?;
    timed(|| {
        engine.start(&id)?;
        engine.wait(&id)
    })
}
