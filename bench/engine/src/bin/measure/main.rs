//! Runs in the machine, and asks both engines by their sockets: no network is between it and them. What it found goes to standard
//! output as JSON, what it does to standard error.

mod engine;
mod http;
mod image;
mod memory;
mod quantities;
mod registry;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::{Map, Value, json};

use engine::Engine;
use quantities::QUANTITIES;

/// Measures what Docker engines of this machine take for the same things, in turn.
#[derive(Debug, Parser)]
#[command(name = "measure")]
pub struct Options {
    /// An engine: its name, and its socket. The first one is compared with the others.
    #[arg(long, value_name = "NAME=SOCKET", default_values = ["system-docker=/var/run/system-docker.sock", "docker=/var/run/docker.sock"])]
    engine: Vec<Engine>,
    /// An archive with the image `busybox:test`.
    #[arg(long)]
    busybox: PathBuf,
    /// How often each is done on each engine.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Containers beside which `ps` and one more start are measured.
    #[arg(long, default_value_t = 100)]
    many: usize,
    /// Size of the image that is pulled and loaded, in MB.
    #[arg(long, default_value_t = 20)]
    image: usize,
    /// Output of the container whose log is measured, in MB.
    #[arg(long, default_value_t = 50)]
    log: usize,
    /// Containers that are started at the same time.
    #[arg(long, default_value_t = 20)]
    parallel: usize,
    /// Measure only what has this in its name.
    #[arg(long)]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut engines = Vec::new();
    for engine in &options.engine {
        engine.prepare(&options.busybox)?;
        engines.push(engine.clone());
        // The same engine with another runtime, where it is set up.
        if engine.has_runtime("crun")? {
            engines.push(engine.with_runtime("crun"));
        }
    }
    ensure!(!engines.is_empty(), "no engine was given");
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for quantity in QUANTITIES {
        let wanted = |text: &String| quantity.name.contains(text.as_str());
        if !options.only.is_empty() && !options.only.iter().any(wanted) {
            continue;
        }
        eprintln!("{}", quantity.name);
        let mut samples: Vec<Vec<f64>> = vec![Vec::new(); engines.len()];
        let runs = quantity.runs.unwrap_or(options.runs);
        for run in 0..runs {
            // In turn, and who is first changes: what else the machine does meets all.
            for index in 0..engines.len() {
                let index = (index + run) % engines.len();
                let engine = &engines[index];
                match (quantity.measure)(engine, &options) {
                    Ok(values) => samples[index].extend(values),
                    Err(error) => {
                        problems.push(format!("{} on {}: {error:#}", quantity.name, engine.name))
                    }
                }
                engine.clear();
            }
        }
        let pairs = engines.iter().zip(samples);
        let samples: Map<String, Value> = pairs
            .map(|(engine, values)| (engine.name.clone(), json!(values)))
            .collect();
        found.push(json!({"name": quantity.name, "unit": quantity.unit, "samples": samples}));
    }
    problems.dedup();
    let names: Vec<&String> = engines.iter().map(|engine| &engine.name).collect();
    println!(
        "{}",
        json!({"engines": names, "quantities": found, "problems": problems})
    );
    Ok(())
}
