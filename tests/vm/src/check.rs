use std::fmt;
use std::time::Instant;

use anyhow::Result;
use coracle_testkit::{Project, VmBuilder};

use crate::guest::Guest;
use crate::report::{Outcome, Report};

/// One promise.
pub struct Check {
    /// What holds, in the form of an identifier.
    pub name: &'static str,
    /// Fails when it does not.
    pub run: fn(&mut Guest) -> Result<()>,
}

/// Checks that share a machine.
pub struct Suite {
    /// Its name, also of the machine.
    pub name: &'static str,
    /// The machine.
    pub machine: fn(VmBuilder) -> Result<VmBuilder>,
    /// What has to happen before the first check.
    pub ready: fn(&mut Guest) -> Result<()>,
    /// The checks, in the order in which they run. Each also works without those before it.
    pub checks: &'static [Check],
}

/// Why a check was not made.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

impl Suite {
    /// Runs the chosen checks; those of an emulator fault in a second machine.
    pub fn run(&self, chosen: &dyn Fn(&str) -> bool, report: &mut Report) {
        let checks: Vec<&Check> = self
            .checks
            .iter()
            .filter(|check| chosen(check.name))
            .collect();
        if checks.is_empty() {
            return;
        }
        for last_try in [false, true] {
            let outcomes = self.run_once(&checks, report);
            let faulty = outcomes
                .iter()
                .any(|(_, outcome)| outcome.is_emulator_fault());
            if !faulty || last_try {
                for (name, outcome) in outcomes {
                    report.add(self.name, name, outcome);
                }
                return;
            }
            report.say(&format!(
                "{}: the guest's kernel failed by the emulator's fault; once more",
                self.name
            ));
        }
    }

    fn run_once(&self, checks: &[&Check], report: &Report) -> Vec<(&'static str, Outcome)> {
        report.say(&format!("{}: booting", self.name));
        let started = Instant::now();
        let mut guest = match self.boot() {
            Ok(guest) => guest,
            Err(error) => {
                let reason = format!("{error:#}");
                let emulator_fault = is_emulator_fault(&error);
                report.say(&format!("{}: no machine to check: {reason}", self.name));
                let outcome = || Outcome::Failed {
                    reason: format!("no machine: {reason}"),
                    emulator_fault,
                };
                return checks.iter().map(|check| (check.name, outcome())).collect();
            }
        };
        report.say(&format!(
            "{}: ready after {:.1} s",
            self.name,
            started.elapsed().as_secs_f32()
        ));
        let mut outcomes = Vec::new();
        for check in checks {
            let started = Instant::now();
            let outcome = Outcome::of((check.run)(&mut guest));
            report.line(self.name, check.name, &outcome, started.elapsed());
            let faulty = outcome.is_emulator_fault();
            outcomes.push((check.name, outcome));
            if faulty {
                break;
            }
        }
        outcomes
    }

    fn boot(&self) -> Result<Guest> {
        let project = Project::here();
        let builder =
            coracle_testkit::Vm::builder(project.clone()).name(&format!("test-{}", self.name));
        // An oops is the emulator's as often as a panic: stop there instead of going on with a broken kernel.
        let builder = (self.machine)(builder.append("oops=panic"))?;
        let mut guest = Guest::boot(project, builder)?;
        (self.ready)(&mut guest)?;
        Ok(guest)
    }
}

pub fn is_emulator_fault(error: &anyhow::Error) -> bool {
    let causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<coracle_testkit::Error>());
    causes
        .into_iter()
        .any(coracle_testkit::Error::is_emulator_fault)
}
