//! Boots Coracle and a Debian peer in turn and compares them; `bench/README.md` says what is measured and how.

mod floor;
mod initrd;
mod measure;
mod peer;
mod subject;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use coracle_testkit::Project;
use serde_json::json;

use measure::Measurement;
use subject::Subject;
use table::Row;

/// Boots Coracle and a Debian peer in turn and compares them.
#[derive(Debug, Parser)]
#[command(name = "coracle-boot-bench")]
struct Options {
    /// Boots of each system.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// RAM of the machines, in MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    memory: u32,
    /// Processors of the machines.
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Boot only this system.
    #[arg(long, value_parser = ["coracle", "debian"])]
    only: Option<String>,
    /// Find the smallest memory that works instead.
    #[arg(long)]
    floor: bool,
    /// Also write the result to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let project = Project::here();
    let subjects = prepare(&project, &options)?;
    if options.floor {
        for subject in &subjects {
            let smallest = floor::find(&project, subject, options.cpus)?;
            let answer =
                smallest.map_or("none of the sizes".to_owned(), |size| format!("{size} MiB"));
            println!("{}: smallest memory that works: {answer}", subject.name);
        }
        return Ok(());
    }
    let mut runs: Vec<Vec<Measurement>> = vec![Vec::new(); subjects.len()];
    for number in 1..=options.runs {
        for (subject, runs) in subjects.iter().zip(&mut runs) {
            let measured = measure_with_retry(&project, subject, &options)?;
            println!(
                "run {number} of {}: {}",
                options.runs,
                serde_json::to_string(&measured)?
            );
            runs.push(measured);
        }
    }
    let of = |name: &str| subjects.iter().position(|subject| subject.name == name);
    let runs_of = |name: &str| of(name).map_or(&[][..], |index| &runs[index]);
    let mut rows = table::rows(runs_of("coracle"), runs_of("debian"));
    rows.extend(sizes(
        of("coracle").map(|i| &subjects[i]),
        of("debian").map(|i| &subjects[i]),
    ));
    println!("\n{}", table::render(&rows));
    if let Some(path) = &options.json {
        let result = json!({
            "memory_mib": options.memory,
            "cpus": options.cpus,
            "medians": table::to_json(&rows),
            "runs": {"coracle": runs_of("coracle"), "debian": runs_of("debian")},
        });
        let text = serde_json::to_string_pretty(&result)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn prepare(project: &Project, options: &Options) -> Result<Vec<Subject>> {
    let probe = initrd::build_probe(project)?;
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let mut subjects = Vec::new();
    if wanted("coracle") {
        subjects.push(Subject::coracle(project, &probe)?);
    }
    if wanted("debian") {
        subjects.push(Subject::debian(project, &probe)?);
    }
    for subject in &subjects {
        if let Err(error) = subject.prime(project) {
            let faulty = error
                .downcast_ref::<coracle_testkit::Error>()
                .is_some_and(coracle_testkit::Error::is_emulator_fault);
            if !faulty {
                return Err(error);
            }
            println!("{}: {error}; once more", subject.name);
            subject.prime(project)?;
        }
    }
    Ok(subjects)
}

fn measure_with_retry(
    project: &Project,
    subject: &Subject,
    options: &Options,
) -> Result<Measurement> {
    let once = || {
        measure::measure(project, subject, options.memory, options.cpus)
            .with_context(|| format!("{} failed", subject.name))
    };
    once().or_else(|error| {
        let mut causes = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<coracle_testkit::Error>());
        if !causes.any(coracle_testkit::Error::is_emulator_fault) {
            return Err(error);
        }
        println!("{error:#}; once more");
        once()
    })
}

fn sizes(coracle: Option<&Subject>, debian: Option<&Subject>) -> [Row; 2] {
    let row = |name, read: fn(&Subject) -> u64| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a size in bytes is far below 2^52"
        )]
        let megabytes = |subject: &Subject| read(subject) as f64 / 1e6;
        Row {
            name,
            unit: "MB",
            coracle: coracle.map(megabytes),
            debian: debian.map(megabytes),
        }
    };
    [
        row("size on disk", |subject| subject.installed_bytes),
        row("size to download", |subject| subject.shipped_bytes),
    ]
}
