//! Scripted sessions of the docker client: the same commands against both engines, with outputs and exit codes compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::Clients;
use crate::compare::Verdict;
use crate::engine::{Engine, Pair};
use crate::known::Known;
use crate::mask;
use crate::report::Report;

/// Commands with the files that they use.
#[derive(Debug)]
struct Session {
    name: String,
    commands: Vec<String>,
    /// Copied to the directory that the commands run in.
    files: Option<PathBuf>,
}

/// A command's output, both streams, masked, and its exit code.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    output: String,
    code: i32,
}

/// Runs every session of `dir` against both engines, and compares them command by command.
///
/// # Errors
/// A session cannot be read, or its commands cannot be run at all.
pub fn compare_all(
    clients: &Clients,
    dir: &Path,
    logs: &Path,
    engines: &Pair,
    known: &Known,
    report: &mut Report,
) -> Result<()> {
    let mut names = Vec::new();
    for session in read_all(dir)? {
        names.push(session.name.clone());
        if !clients.selects(&session.name) {
            continue;
        }
        if session.name.starts_with("compose") && clients.compose.is_none() {
            report.skip(&format!(
                "session {}: no compose plugin; --compose FILE names one",
                session.name
            ));
            continue;
        }
        // The session before may have removed them.
        engines.load_images(logs)?;
        let reference = run(clients, &session, logs, &engines.reference)?;
        let ours = run(clients, &session, logs, &engines.ours)?;
        for ((command, reference), ours) in session.commands.iter().zip(&reference).zip(&ours) {
            let name = format!("{}: {command}", session.name);
            let verdict = match (reference == ours, known.sessions.contains_key(&name)) {
                (true, false) => Verdict::Same,
                (true, true) => Verdict::Stale,
                (false, true) => Verdict::Known,
                (false, false) => Verdict::Different,
            };
            report.add(&name, verdict, &difference(reference, ours));
        }
    }
    if clients.only.is_empty() {
        for name in known.sessions.keys() {
            let session = name.split(": ").next().unwrap_or(name);
            if !names.iter().any(|name| name == session) {
                report.add(name, Verdict::Stale, "there is no such session");
            }
        }
    }
    Ok(())
}

/// `<name>.session` files of a directory, in alphabetical order.
fn read_all(dir: &Path) -> Result<Vec<Session>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut sessions = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let Some(name) = name.strip_suffix(".session") else {
            continue;
        };
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let files = dir.join(name);
        sessions.push(Session {
            name: name.to_owned(),
            commands: commands(&text),
            files: files.is_dir().then_some(files),
        });
    }
    sessions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sessions)
}

/// Lines that begin with `$ `.
fn commands(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .map(str::to_owned)
        .collect()
}

fn run(clients: &Clients, session: &Session, logs: &Path, engine: &Engine) -> Result<Vec<Answer>> {
    let home = tempfile::tempdir().context("cannot create a directory")?;
    // The directory's name is the name of compose's project.
    let dir = home.path().join(&session.name);
    fs::create_dir(&dir)?;
    if let Some(files) = &session.files {
        for entry in fs::read_dir(files)? {
            let entry = entry?;
            fs::copy(entry.path(), dir.join(entry.file_name()))?;
        }
    }
    if let Some(compose) = &clients.compose {
        let plugins = home.path().join(".docker/cli-plugins");
        fs::create_dir_all(&plugins)?;
        std::os::unix::fs::symlink(
            std::path::absolute(compose)?,
            plugins.join("docker-compose"),
        )?;
    }
    let mut answers = Vec::new();
    let mut transcript = String::new();
    for command in &session.commands {
        let output = Command::new("timeout")
            // The docker client survives the first two SIGTERM.
            .args(["-s", "KILL", &clients.limit.to_string(), "sh", "-c"])
            .arg(format!("exec 2>&1; {command}"))
            .current_dir(&dir)
            .env("DOCKER_HOST", engine.host())
            .env("HOME", home.path())
            .env("LC_ALL", "C")
            .env("TERM", "dumb")
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null())
            .output()
            .context("cannot run timeout(1)")?;
        let text = String::from_utf8_lossy(&output.stdout)
            .replace(&home.path().display().to_string(), "<dir>")
            .replace(&engine.host(), "<socket>");
        let answer = Answer {
            output: mask::mask(&text),
            code: output.status.code().unwrap_or(-1),
        };
        transcript.push_str(&format!(
            "$ {command}\n{}[{}]\n",
            answer.output, answer.code
        ));
        answers.push(answer);
    }
    let path = logs.join(format!("{}.{}.txt", session.name, engine.name));
    fs::write(&path, transcript).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(answers)
}

/// Lines that only one of them has, marked `-` for dockerd's and `+` for System Docker's.
fn difference(reference: &Answer, ours: &Answer) -> String {
    let lines = |answer: &Answer| -> Vec<String> {
        let mut lines: Vec<String> = answer.output.lines().map(str::to_owned).collect();
        lines.push(format!("[{}]", answer.code));
        lines
    };
    let (reference, ours) = (lines(reference), lines(ours));
    let common = common_lines(&reference, &ours);
    let (mut a, mut b, mut text) = (0, 0, String::new());
    for (next_a, next_b) in common.into_iter().chain([(reference.len(), ours.len())]) {
        for line in &reference[a..next_a] {
            text.push_str(&format!("- {line}\n"));
        }
        for line in &ours[b..next_b] {
            text.push_str(&format!("+ {line}\n"));
        }
        (a, b) = (next_a + 1, next_b + 1);
    }
    text
}

/// Positions of a longest common subsequence.
fn common_lines(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    let mut lengths = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, line) in a.iter().enumerate().rev() {
        for (j, other) in b.iter().enumerate().rev() {
            lengths[i][j] = if line == other {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut common) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            common.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(output: &str, code: i32) -> Answer {
        Answer {
            output: output.to_owned(),
            code,
        }
    }

    #[test]
    fn a_difference_shows_what_only_one_side_says() {
        for (reference, ours, expected) in [
            (("a\nb\nc\n", 0), ("a\nx\nc\n", 0), "- b\n+ x\n"),
            (("a\n", 0), ("a\n", 1), "- [0]\n+ [1]\n"),
            (("a\n", 0), ("a\nb\n", 0), "+ b\n"),
            (("a\nb\nc\n", 0), ("b\nc\nd\n", 0), "- a\n+ d\n"),
            (("a\n", 0), ("a\n", 0), ""),
        ] {
            let (reference, ours) = (answer(reference.0, reference.1), answer(ours.0, ours.1));
            assert_eq!(difference(&reference, &ours), expected);
        }
    }

    #[test]
    fn only_lines_with_a_prompt_are_commands() {
        assert_eq!(commands("# why\n$ docker ps\n\n$ a\n"), ["docker ps", "a"]);
    }
}
