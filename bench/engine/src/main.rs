//! Compares System Docker with dockerd in one machine; `bench/README.md` says what is measured and how.

mod crun;
mod machine;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser};
use coracle_testkit::Project;
use serde_json::{Value, json};

/// Compares System Docker with dockerd in one machine.
#[derive(Debug, Parser)]
#[command(name = "coracle-engine-bench")]
struct Options {
    #[command(flatten)]
    amounts: Amounts,
    /// Measure in this running machine (`cargo xtask vm start --name NAME`) instead of one that is made for it.
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// RAM of the machine, in MiB.
    #[arg(long, default_value_t = 3072, value_name = "MIB")]
    memory: u32,
    /// Processors of the machine.
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Build the measuring program without optimisation: for work on the benchmark itself.
    #[arg(long)]
    debug: bool,
    /// Show the table of a result that --json wrote, and measure nothing.
    #[arg(long, value_name = "FILE", conflicts_with = "machine")]
    show: Option<PathBuf>,
    /// Also write the result to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How much is done; `measure`, the program in the machine, has the same options.
#[derive(Args, Debug)]
struct Amounts {
    /// How often each is done on each engine.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Containers beside which `ps` and one more start are measured.
    #[arg(long, default_value_t = 1000)]
    many: usize,
    /// Size of the image that is pulled and loaded, in MB.
    #[arg(long, default_value_t = 100, value_name = "MB")]
    image: usize,
    /// Output of the container whose log is measured, in MB.
    #[arg(long, default_value_t = 1024, value_name = "MB")]
    log: usize,
    /// Containers that are started at the same time.
    #[arg(long, default_value_t = 50)]
    parallel: usize,
    /// Measure only what has this in its name; may be given several times.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
}

impl Amounts {
    fn arguments(&self) -> Vec<String> {
        let numbers = [
            ("--runs", self.runs),
            ("--many", self.many),
            ("--image", self.image),
            ("--log", self.log),
            ("--parallel", self.parallel),
        ];
        let numbers = numbers
            .iter()
            .flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]);
        let only = self
            .only
            .iter()
            .flat_map(|text| ["--only".to_owned(), text.clone()]);
        numbers.chain(only).collect()
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(path) = &options.show {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let result: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no result", path.display()))?;
        println!("{}", table::render(&result["measured"]));
        return Ok(());
    }
    let project = Project::here();
    let program = machine::build_program(&project, options.debug)?;
    let measured = match &options.machine {
        Some(name) => machine::measure_in(&project, name, &program, &options.amounts.arguments())?,
        None => machine::measure(
            &project,
            options.memory,
            options.cpus,
            &program,
            &options.amounts.arguments(),
        )?,
    };
    println!("\n{}", table::render(&measured));
    if let Some(path) = &options.json {
        let result = json!({
            "amounts": options.amounts.arguments(),
            "medians": table::to_json(&measured),
            "measured": measured,
        });
        let text = serde_json::to_string_pretty(&result)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
