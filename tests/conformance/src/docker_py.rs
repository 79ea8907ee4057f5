//! docker-py's integration tests.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::Clients;
use crate::compare::{self, Outcome, Verdict};
use crate::engine::{Engine, Pair};
use crate::known::Known;
use crate::report::Report;

const PLUGIN: &str = include_str!("../pytest_plugin.py");
/// Where the tests are in docker-py's tree.
const TESTS: &str = "tests/integration";

/// Files of tests that are left out: neither swarm mode and what needs it, nor plugins, nor a builder are System Docker's; contexts and
/// credential stores are the client's alone.
const EXCLUDED_FILES: [&str; 11] = [
    "api_build_test.py",
    "api_config_test.py",
    "api_plugin_test.py",
    "api_secret_test.py",
    "api_service_test.py",
    "api_swarm_test.py",
    "context_api_test.py",
    "credentials",
    "models_nodes_test.py",
    "models_services_test.py",
    "models_swarm_test.py",
];

/// Tests of the same in files with others.
const EXCLUDED_TESTS: [&str; 8] = [
    "models_images_test.py::ImageCollectionTest::test_build",
    "models_images_test.py::ImageCollectionTest::test_build_with_error",
    "models_images_test.py::ImageCollectionTest::test_build_with_multiple_success",
    "models_images_test.py::ImageCollectionTest::test_build_with_success_build_output",
    "api_network_test.py::TestNetworks::test_create_inspect_network_with_scope",
    "api_network_test.py::TestNetworks::test_create_network_attachable",
    "api_network_test.py::TestNetworks::test_create_network_ingress",
    "regression_test.py::TestRegressions::test_443_handle_nonchunked_response_in_stream",
];

/// Runs the tests against both engines at once, and compares them one by one.
///
/// # Errors
/// There is no Python, or it lacks what the tests need.
pub fn compare(
    clients: &Clients,
    tree: &Path,
    logs: &Path,
    engines: &Pair,
    known: &Known,
    report: &mut Report,
) -> Result<()> {
    ensure!(
        tree.join(TESTS).is_dir(),
        "{} is no source tree of docker-py: it has no {TESTS}",
        tree.display()
    );
    let tree = std::path::absolute(tree)?;
    engines.load_images(logs)?;
    let (reference, ours) = thread::scope(|scope| {
        let reference = scope.spawn(|| run_twice(clients, &tree, logs, &engines.reference));
        let ours = scope.spawn(|| run_twice(clients, &tree, logs, &engines.ours));
        (reference.join(), ours.join())
    });
    // A panic of a thread is one of this program's own.
    let (reference, ours) = (
        reference.map_err(std::panic::resume_unwind)??,
        ours.map_err(std::panic::resume_unwind)??,
    );
    for (engine, outcomes) in [(&engines.reference, &reference), (&engines.ours, &ours)] {
        let count = |wanted: fn(&Outcome) -> bool| outcomes.values().filter(|o| wanted(o)).count();
        println!(
            "docker-py on {}: {} passed, {} failed, {} skipped",
            engine.name,
            count(|outcome| *outcome == Outcome::Passed),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| *outcome == Outcome::Skipped),
        );
    }
    for (name, (reference, ours)) in compare::pair(&reference, &ours) {
        let verdict = compare::judge(reference, ours, known.docker_py.contains_key(name));
        let detail = match ours {
            Outcome::Failed(why) => why,
            _ => "",
        };
        report.add(name, verdict, detail);
    }
    if clients.only.is_empty() {
        for name in known.docker_py.keys() {
            if !reference.contains_key(name) {
                report.add(name, Verdict::Stale, "there is no such test");
            }
        }
    }
    Ok(())
}

/// Runs the tests, and those that failed once more: many of them have a clock of their own, which a busy machine outruns.
fn run_twice(
    clients: &Clients,
    tree: &Path,
    logs: &Path,
    engine: &Engine,
) -> Result<BTreeMap<String, Outcome>> {
    let mut outcomes = run(clients, tree, logs, engine, "first", &[])?;
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
        .map(|(name, _)| name.clone())
        .collect();
    if !failed.is_empty() {
        outcomes.extend(run(clients, tree, logs, engine, "second", &failed)?);
    }
    Ok(outcomes)
}

/// Runs pytest, on the tests of these names or on the whole selection.
fn run(
    clients: &Clients,
    tree: &Path,
    logs: &Path,
    engine: &Engine,
    round: &str,
    names: &[String],
) -> Result<BTreeMap<String, Outcome>> {
    let work = tempfile::tempdir().context("cannot create a directory")?;
    fs::write(work.path().join("conformance_plugin.py"), PLUGIN)?;
    let lines = logs.join(format!("docker-py.{}.{round}.jsonl", engine.name));
    File::create(&lines).with_context(|| format!("cannot create {}", lines.display()))?;
    let log = File::create(lines.with_extension("log"))?;
    let mut command = Command::new(&clients.python);
    command.args(["-m", "pytest", "-p", "no:cacheprovider", "-p"]);
    command.args(["conformance_plugin", "--tb=short", "-q"]);
    if names.is_empty() {
        command.arg(TESTS);
        for file in EXCLUDED_FILES {
            command.arg(format!("--ignore={TESTS}/{file}"));
        }
        for test in EXCLUDED_TESTS {
            command.arg(format!("--deselect={TESTS}/{test}"));
        }
        if !clients.only.is_empty() {
            command.args(["-k", &selection(&clients.only)]);
        }
    } else {
        command.args(names.iter().map(|name| format!("{TESTS}/{name}")));
    }
    let status = command
        .current_dir(tree)
        .env("CONFORMANCE_REPORT", &lines)
        .env("CONFORMANCE_LIMIT", clients.limit.to_string())
        .env("DOCKER_HOST", engine.host())
        .env("HOME", work.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "PYTHONPATH",
            format!("{}:{}", work.path().display(), tree.display()),
        )
        .env_remove("DOCKER_CONTEXT")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("cannot run {}", clients.python.display()))?;
    // 1: tests failed; 5: none were selected.
    ensure!(
        matches!(status.code(), Some(0 | 1 | 5)),
        "pytest ended with {status}; see {} (it needs pytest, requests, paramiko, websocket-client)",
        lines.with_extension("log").display()
    );
    parse(&fs::read_to_string(&lines)?)
}

/// `-k` of pytest takes an expression of names; parts of `file::Class::test` are names.
fn selection(only: &[String]) -> String {
    let all: Vec<String> = only
        .iter()
        .map(|text| {
            let parts: Vec<&str> = text.split("::").collect();
            format!("({})", parts.join(" and "))
        })
        .collect();
    all.join(" or ")
}

/// The plugin's lines: outcomes by `file::Class::test`.
fn parse(lines: &str) -> Result<BTreeMap<String, Outcome>> {
    #[derive(Deserialize)]
    struct Line {
        test: String,
        outcome: String,
        message: String,
    }
    let mut outcomes = BTreeMap::new();
    for line in lines.lines() {
        let line: Line = serde_json::from_str(line).context("a line of the plugin")?;
        let outcome = match line.outcome.as_str() {
            "passed" => Outcome::Passed,
            "failed" => Outcome::Failed(line.message),
            _ => Outcome::Skipped,
        };
        let name = line.test.trim_start_matches(TESTS).trim_start_matches('/');
        outcomes.insert(name.to_owned(), outcome);
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugins_lines_are_outcomes_by_name() {
        let lines = r#"{"test": "tests/integration/a_test.py::A::test_a", "outcome": "passed", "message": ""}
{"test": "tests/integration/a_test.py::A::test_b", "outcome": "failed", "message": "E  why"}
{"test": "tests/integration/b_test.py::B::test_c", "outcome": "skipped", "message": ""}
"#;
        let expected = [
            ("a_test.py::A::test_a", Outcome::Passed),
            ("a_test.py::A::test_b", Outcome::Failed("E  why".to_owned())),
            ("b_test.py::B::test_c", Outcome::Skipped),
        ];
        let expected = expected.map(|(name, outcome)| (name.to_owned(), outcome));
        assert_eq!(parse(lines).unwrap(), BTreeMap::from(expected));
        assert!(parse("pytest: error").is_err());
    }

    #[test]
    fn a_selection_is_an_expression_of_pytest() {
        let only = ["pull".to_owned(), "a_test.py::A::test_a".to_owned()];
        assert_eq!(selection(&only), "(pull) or (a_test.py and A and test_a)");
    }
}
