//! Containers: their records, names, layers, volumes and logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{Finding, START, UNFINISHED, add, has_extension, left_over, names, paths};
use crate::container::{RECORD_FILE, STATE_FILE};
use crate::disk;
use crate::logs::LogLine;
use crate::record::{MountKind, Record, State};
use crate::time::NEVER;

/// A container whose record can be read.
#[derive(Debug)]
pub struct Kept {
    pub record: Record,
    pub state: State,
}

impl Kept {
    pub fn describe(&self) -> String {
        format!("container {} ({})", self.record.id, self.record.name)
    }
}

const REMOVE: &str = "docker rm it";
const MAKE_AGAIN: &str = "remove the container and create it again";

/// Reads every container under `root` and says what is wrong with it.
pub fn read(root: &Path, running: bool, findings: &mut BTreeSet<Finding>) -> Vec<Kept> {
    let mut kept: Vec<Kept> = Vec::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for dir in paths(&root.join("containers")) {
        if has_extension(&dir, "removed") {
            left_over(findings, &dir);
            continue;
        }
        let id = dir.file_name().unwrap_or_default().to_string_lossy();
        let subject = format!("container {id}");
        if !dir.join(RECORD_FILE).exists() {
            add(findings, subject, "was never created completely", START);
            continue;
        }
        let record = match disk::read_json::<Record>(&dir.join(RECORD_FILE)) {
            Ok(record) => record,
            Err(error) => {
                add(
                    findings,
                    subject,
                    format!("its record is damaged: {error}"),
                    "restore the file, or delete the container's directory",
                );
                continue;
            }
        };
        let subject = format!("{subject} ({})", record.name);
        if record.id != id {
            let problem = format!("its record is that of {}", record.id);
            add(
                findings,
                subject,
                problem,
                "delete the container's directory",
            );
            continue;
        }
        if !crate::names::valid(&record.name) {
            add(
                findings,
                &subject,
                "its name is not allowed",
                "docker rename it",
            );
        }
        if let Some(other) = owners.insert(record.name.clone(), record.id.clone()) {
            add(
                findings,
                &subject,
                format!("container {other} has the same name"),
                "delete the directory of one of them",
            );
        }
        let state = disk::read_json::<State>(&dir.join(STATE_FILE)).unwrap_or_else(|error| {
            let problem = format!("its state is lost: {error}");
            add(findings, &subject, problem, "docker start or remove it");
            State::default()
        });
        if !running && state.status.is_active() {
            add(
                findings,
                &subject,
                format!("is {} without an engine", state.status.name()),
                "start the engine, which notes its end",
            );
        }
        for layer in record.layers.iter().filter(|layer| !layer.is_dir()) {
            let problem = format!("layer {} does not exist", layer.display());
            add(findings, &subject, problem, MAKE_AGAIN);
        }
        if !dir.join("upper").is_dir() {
            let problem = "its own files (upper) do not exist";
            add(findings, &subject, problem, REMOVE);
        }
        for name in names(&dir) {
            if !running && has_extension(name.as_ref(), UNFINISHED) {
                left_over(findings, &dir.join(name));
            }
        }
        let kept_one = Kept { record, state };
        check_log(&dir, &kept_one, running, findings);
        kept.push(kept_one);
    }
    kept
}

/// Volumes that containers name.
pub fn check_volumes(
    containers: &[Kept],
    volumes: &BTreeSet<String>,
    findings: &mut BTreeSet<Finding>,
) {
    for container in containers {
        let named = container
            .record
            .mounts
            .iter()
            .filter(|m| m.kind == MountKind::Volume);
        for name in named.filter_map(|point| point.name.as_ref()) {
            if !volumes.contains(name) {
                let problem = format!("volume {name} does not exist");
                add(
                    findings,
                    container.describe(),
                    problem,
                    "docker volume create it",
                );
            }
        }
    }
}

/// The log that clients read: there once it was started, and every line an entry.
fn check_log(dir: &Path, container: &Kept, running: bool, findings: &mut BTreeSet<Finding>) {
    let config = container.record.host_config.log_config.as_ref();
    let driver = config
        .and_then(|config| config.typ.as_deref())
        .unwrap_or_default();
    let file: PathBuf = match driver {
        "" | "json-file" => dir.join(format!("{}-json.log", container.record.id)),
        "local" => dir.join("local-logs/container.log"),
        _ => return,
    };
    let file = match File::open(&file) {
        Ok(opened) => BufReader::new(opened),
        Err(error) => {
            if container.state.started_at != NEVER {
                let problem = format!("its log {}: {error}", file.display());
                add(
                    findings,
                    container.describe(),
                    problem,
                    "start it, which begins a new one",
                );
            }
            return;
        }
    };
    let mut lines = file.split(b'\n').map_while(Result::ok).peekable();
    let mut number = 0_usize;
    while let Some(line) = lines.next() {
        number += 1;
        // The last one may just be written.
        let whole = lines.peek().is_some() || !running;
        if whole && !line.is_empty() && LogLine::parse(&line).is_none() {
            let problem = format!("line {number} of its log is no entry");
            add(
                findings,
                container.describe(),
                problem,
                "delete the line; docker logs leaves it out",
            );
            return;
        }
    }
}
