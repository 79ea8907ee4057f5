//! Health checks: what a container's says, and what follows from the results of its probes (Docker: `HEALTHCHECK`).

mod monitor;

use std::time::Duration;

use bollard_stubs::models::{ContainerConfig, HealthConfig};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Bytes of a probe's output that are kept.
const OUTPUT_LIMIT: usize = 4096;
/// Results that are kept.
const KEPT: usize = 5;
/// Shortest span that a client may ask for.
const SHORTEST: i64 = 1_000_000;

/// What the probes have found.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded yet, and not too many have failed.
    #[default]
    Starting,
    /// The last probe has succeeded, or not enough have failed since.
    Healthy,
    /// As many probes in a row as are allowed have failed, or nobody probes: the container does not run.
    Unhealthy,
}

impl HealthStatus {
    /// The `Status` field of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The health of a container that has a check (API: `State.Health`).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Health {
    /// What it amounts to.
    pub status: HealthStatus,
    /// Failures since the last success.
    pub failing_streak: u64,
    /// The last results, oldest first.
    pub log: Vec<ProbeResult>,
}

/// How a probe went.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ProbeResult {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// Of the command; -1 when it could not be run or took too long.
    pub exit_code: i64,
    /// Both its streams, or why it could not be run.
    pub output: String,
}

impl Health {
    /// The health at the beginning of a run. The results of the run before stay.
    pub fn begin(&mut self) {
        self.status = HealthStatus::Starting;
        self.failing_streak = 0;
    }

    /// Takes a result that began `since_start` after the container; gives the status when it has changed by that.
    pub fn record(
        &mut self,
        check: &HealthCheck,
        result: ProbeResult,
        since_start: Duration,
    ) -> Option<HealthStatus> {
        let before = self.status;
        let failed = result.exit_code != 0;
        if self.log.len() >= KEPT {
            self.log.drain(..=self.log.len() - KEPT);
        }
        self.log.push(result);
        if !failed {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if before != HealthStatus::Starting || since_start >= check.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        (self.status != before).then_some(self.status)
    }
}

/// What is probed, and how often.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HealthCheck {
    /// Program and arguments.
    pub command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    retries: u64,
    start_period: Duration,
    start_interval: Duration,
}

impl HealthCheck {
    /// The check of a container; `None` when it has none, or `NONE`.
    pub fn of(config: &ContainerConfig) -> Option<Self> {
        let check = config.healthcheck.as_ref()?;
        let (kind, words) = check.test.as_deref()?.split_first()?;
        let command = match kind.as_str() {
            "CMD" => words.to_vec(),
            "CMD-SHELL" => {
                let shell = config.shell.clone().filter(|shell| !shell.is_empty());
                let shell = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
                shell.into_iter().chain(words.iter().cloned()).collect()
            }
            _ => return None,
        };
        let span = |nanoseconds: Option<i64>, default: u64| {
            u64::try_from(nanoseconds.unwrap_or(0))
                .ok()
                .filter(|nanoseconds| *nanoseconds > 0)
                .map_or(Duration::from_secs(default), Duration::from_nanos)
        };
        let retries = u64::try_from(check.retries.unwrap_or(0)).unwrap_or(0);
        Some(Self {
            command,
            interval: span(check.interval, 30),
            timeout: span(check.timeout, 30),
            retries: if retries == 0 { 3 } else { retries },
            start_period: span(check.start_period, 0),
            start_interval: span(check.start_interval, 5),
        })
    }

    /// How long to wait for the next probe.
    fn pause(&self, since_start: Duration, status: HealthStatus) -> Duration {
        if since_start < self.start_period && status == HealthStatus::Starting {
            self.start_interval
        } else {
            self.interval
        }
    }
}

/// Checks what a client or an image asks for.
///
/// # Errors
/// Docker's texts.
pub fn validate(check: &HealthConfig) -> Result<()> {
    for (name, span) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if span.is_some_and(|span| span != 0 && span < SHORTEST) {
            return Err(Error::Invalid(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    if check.retries.is_some_and(|retries| retries < 0) {
        return Err(Error::Invalid(
            "Retries in Healthcheck cannot be negative".into(),
        ));
    }
    Ok(())
}

/// The beginning of a probe's output, as it arrives.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    fn push(&mut self, chunk: &[u8]) {
        let room = OUTPUT_LIMIT - self.bytes.len();
        self.cut |= chunk.len() > room;
        self.bytes
            .extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.cut {
            text.push_str("...");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn config(test: &[&str], shell: Option<&[&str]>) -> ContainerConfig {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        ContainerConfig {
            healthcheck: Some(HealthConfig {
                test: Some(words(test)),
                ..HealthConfig::default()
            }),
            shell: shell.map(words),
            ..ContainerConfig::default()
        }
    }

    #[test]
    fn checks_are_commands_shell_lines_or_none() {
        type Words = &'static [&'static str];
        let table: &[(Words, Option<Words>, Option<Words>)] = &[
            (
                &["CMD", "test", "-e", "/x"],
                None,
                Some(&["test", "-e", "/x"]),
            ),
            (
                &["CMD-SHELL", "exit 1"],
                None,
                Some(&["/bin/sh", "-c", "exit 1"]),
            ),
            (
                &["CMD-SHELL", "exit 1"],
                Some(&["ash", "-ec"]),
                Some(&["ash", "-ec", "exit 1"]),
            ),
            (&["NONE"], None, None),
            (&["OTHER", "x"], None, None),
            (&[], None, None),
        ];
        for (test, shell, expected) in table {
            let check = HealthCheck::of(&config(test, *shell));
            let expected =
                expected.map(|words| words.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(check.map(|check| check.command), expected, "{test:?}");
        }
        assert_eq!(HealthCheck::of(&ContainerConfig::default()), None);
    }

    #[test]
    fn probes_are_closer_together_while_a_container_starts() {
        let mut config = config(&["CMD", "x"], None);
        let check = HealthCheck::of(&config).unwrap();
        let (starting, healthy) = (HealthStatus::Starting, HealthStatus::Healthy);
        let seconds = Duration::from_secs;
        assert_eq!(check.pause(seconds(0), starting), seconds(30));
        config.healthcheck = config.healthcheck.map(|check| HealthConfig {
            interval: Some(60 * SECOND),
            start_period: Some(20 * SECOND),
            start_interval: Some(2 * SECOND),
            ..check
        });
        let check = HealthCheck::of(&config).unwrap();
        for (since_start, status, expected) in [
            (0, starting, 2),
            (19, starting, 2),
            (19, healthy, 60),
            (20, starting, 60),
        ] {
            assert_eq!(
                check.pause(seconds(since_start), status),
                seconds(expected),
                "{since_start} {status:?}"
            );
        }
    }

    #[test]
    fn results_change_the_status_by_dockers_rules() {
        let mut config = config(&["CMD", "x"], None);
        config.healthcheck = config.healthcheck.map(|check| HealthConfig {
            retries: Some(2),
            start_period: Some(10 * SECOND),
            ..check
        });
        let check = HealthCheck::of(&config).unwrap();
        let mut health = Health::default();
        let (healthy, unhealthy) = (Some(HealthStatus::Healthy), Some(HealthStatus::Unhealthy));
        // Seconds since the start, exit code, change, streak.
        for (index, (at, exit_code, change, streak)) in [
            (1, 1, None, 0),
            (2, 1, None, 0),
            (11, 1, None, 1),
            (12, 0, healthy, 0),
            (13, 0, None, 0),
            (14, 1, None, 1),
            (15, -1, unhealthy, 2),
            (16, 1, None, 3),
            (17, 0, healthy, 0),
        ]
        .into_iter()
        .enumerate()
        {
            let result = ProbeResult {
                exit_code,
                output: index.to_string(),
                ..ProbeResult::default()
            };
            assert_eq!(
                health.record(&check, result, Duration::from_secs(at)),
                change,
                "{index}"
            );
            assert_eq!(health.failing_streak, streak, "{index}");
        }
        let kept: Vec<_> = health
            .log
            .iter()
            .map(|result| result.output.as_str())
            .collect();
        assert_eq!(kept, ["4", "5", "6", "7", "8"]);
        health.begin();
        assert_eq!(
            (health.status, health.log.len()),
            (HealthStatus::Starting, 5)
        );
    }

    #[test]
    fn spans_below_a_millisecond_are_refused() {
        let refusal = |json: &str| {
            validate(&serde_json::from_str(json).unwrap())
                .err()
                .map(|error| error.to_string())
        };
        for (json, expected) in [
            (r#"{"Interval":0,"Timeout":1000000,"Retries":0}"#, None),
            (
                r#"{"Interval":999999}"#,
                Some("Interval in Healthcheck cannot be less than 1ms"),
            ),
            (
                r#"{"Timeout":-1}"#,
                Some("Timeout in Healthcheck cannot be less than 1ms"),
            ),
            (
                r#"{"StartPeriod":1}"#,
                Some("StartPeriod in Healthcheck cannot be less than 1ms"),
            ),
            (
                r#"{"StartInterval":1}"#,
                Some("StartInterval in Healthcheck cannot be less than 1ms"),
            ),
            (
                r#"{"Retries":-1}"#,
                Some("Retries in Healthcheck cannot be negative"),
            ),
        ] {
            assert_eq!(refusal(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn output_is_cut() {
        let mut output = Output::default();
        output.push(&[b'a'; OUTPUT_LIMIT - 1]);
        output.push(b"b");
        assert_eq!(output.text().len(), OUTPUT_LIMIT);
        output.push(b"c");
        assert!(output.text().ends_with("ab..."));
    }
}
