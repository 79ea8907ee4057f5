//! The containers with a schedule, and which of them is due: pure bookkeeping.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::schedule::Schedule;

/// The label that makes a container a job.
pub(crate) const SCHEDULE: &str = "cron.schedule";
const ACTION: &str = "cron.action";
const RESTART_TIMEOUT: &str = "cron.restart_timeout";

/// Docker's default time until a container that was asked to stop is killed.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is done to the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Start,
    Restart,
    Stop,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Stop => "stop",
        })
    }
}

/// A container with a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub id: String,
    pub name: String,
    pub action: Action,
    /// For restart and stop.
    pub timeout: Duration,
    schedule: Schedule,
    next: Option<Timestamp>,
}

/// All jobs by container id.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: BTreeMap<String, Job>,
    /// Containers whose labels make no sense, so that each is complained about once.
    refused: BTreeMap<String, String>,
}

impl Jobs {
    /// Takes over the containers (id, name, labels) that there are at `now`. Returns what changed, as lines for the log.
    pub(crate) fn update(
        &mut self,
        containers: impl Iterator<Item = (String, String, HashMap<String, String>)>,
        now: Timestamp,
    ) -> Vec<String> {
        let mut changes = Vec::new();
        let mut old = std::mem::take(&mut self.jobs);
        let mut refused = BTreeMap::new();
        for (id, name, labels) in containers {
            let job = match read(&id, &name, &labels) {
                Ok(job) => job,
                Err(why) => {
                    let complaint = format!("{name}: {why}; it will not run");
                    if self.refused.get(&id) != Some(&complaint) {
                        changes.push(complaint.clone());
                    }
                    refused.insert(id, complaint);
                    continue;
                }
            };
            let next = match old.remove(&id) {
                Some(known) if known.schedule.text() == job.schedule.text() => known.next,
                _ => {
                    let next = job.schedule.after(now);
                    let when = next.map_or("never".into(), |at| format!("next at {at}"));
                    changes.push(format!(
                        "{name}: {} at '{}', {when}",
                        job.action,
                        job.schedule.text()
                    ));
                    next
                }
            };
            self.jobs.insert(id, Job { next, ..job });
        }
        changes.extend(old.into_values().map(|job| format!("{}: gone", job.name)));
        self.refused = refused;
        changes
    }

    /// The jobs whose time has come; each is planned again.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<Job> {
        let mut due: Vec<Job> = Vec::new();
        for job in self.jobs.values_mut() {
            if job.next.is_some_and(|next| next <= now) {
                job.next = job.schedule.after(now);
                due.push(job.clone());
            }
        }
        due
    }

    /// Plans everything from `now`: the clock was set, and what was skipped is not made up for.
    pub(crate) fn plan_anew(&mut self, now: Timestamp) {
        for job in self.jobs.values_mut() {
            job.next = job.schedule.after(now);
        }
    }

    /// When the next job is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.jobs.values().filter_map(|job| job.next).min()
    }
}

fn read(id: &str, name: &str, labels: &HashMap<String, String>) -> Result<Job, String> {
    let label = |key: &str| labels.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    let schedule =
        Schedule::parse(label(SCHEDULE).unwrap_or_default()).map_err(|e| e.to_string())?;
    let action = match label(ACTION) {
        None | Some("start") => Action::Start,
        Some("restart") => Action::Restart,
        Some("stop") => Action::Stop,
        Some(other) => {
            return Err(format!(
                "{ACTION}: '{other}' is not one of start, restart, stop"
            ));
        }
    };
    let timeout = match label(RESTART_TIMEOUT) {
        None => DEFAULT_TIMEOUT,
        Some(text) => match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                return Err(format!(
                    "{RESTART_TIMEOUT}: '{text}' is not a number of seconds"
                ));
            }
        },
    };
    Ok(Job {
        id: id.into(),
        name: name.into(),
        action,
        timeout,
        schedule,
        next: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Container<'a> = (&'a str, &'a [(&'a str, &'a str)]);

    fn update(jobs: &mut Jobs, containers: &[Container<'_>], now: &str) -> Vec<String> {
        let containers = containers.iter().map(|(name, labels)| {
            let labels = labels
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect();
            (format!("id-{name}"), name.to_string(), labels)
        });
        jobs.update(containers, time(now))
    }

    fn time(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    #[test]
    fn containers_come_run_and_go() {
        let rotate: Container<'_> = ("rotate", &[(SCHEDULE, "@hourly")]);
        let often: Container<'_> = (
            "often",
            &[
                (SCHEDULE, "*/10 * * * * *"),
                (ACTION, "restart"),
                (RESTART_TIMEOUT, "3"),
            ],
        );
        let bad: Container<'_> = ("bad", &[(SCHEDULE, "@hourly"), (ACTION, "paint")]);
        let mut jobs = Jobs::default();
        assert_eq!(
            update(&mut jobs, &[rotate, often, bad], "00:59:55"),
            [
                "rotate: start at '@hourly', next at 2026-01-01T01:00:00Z",
                "often: restart at '*/10 * * * * *', next at 2026-01-01T01:00:00Z",
                "bad: cron.action: 'paint' is not one of start, restart, stop; it will not run",
            ]
        );
        assert_eq!(
            update(&mut jobs, &[rotate, often, bad], "00:59:56"),
            [] as [String; 0]
        );
        assert_eq!(jobs.next(), Some(time("01:00:00")));
        let names = |due: Vec<Job>| {
            due.into_iter()
                .map(|j| j.name)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names(jobs.take_due(time("00:59:59"))), "");
        assert_eq!(names(jobs.take_due(time("01:00:00"))), "often rotate");
        assert_eq!(names(jobs.take_due(time("01:00:00"))), "");
        assert_eq!(jobs.next(), Some(time("01:00:10")));
        jobs.plan_anew(time("05:30:00"));
        assert_eq!(jobs.next(), Some(time("05:30:10")));
        assert_eq!(names(jobs.take_due(time("05:30:10"))), "often");
        assert_eq!(update(&mut jobs, &[rotate], "05:30:11"), ["often: gone"]);
        assert_eq!(jobs.next(), Some(time("06:00:00")));
    }
}
