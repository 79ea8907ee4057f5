use std::time::{Duration, Instant};

use anyhow::Result;

use crate::check::{Skip, is_emulator_fault};

/// How a check ended.
#[derive(Debug)]
pub enum Outcome {
    Passed,
    Skipped(String),
    Failed {
        reason: String,
        emulator_fault: bool,
    },
}

impl Outcome {
    pub fn of(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(skip) => Self::Skipped(skip.to_string()),
                None => Self::Failed {
                    reason: format!("{error:#}"),
                    emulator_fault: is_emulator_fault(&error),
                },
            },
        }
    }

    pub const fn is_emulator_fault(&self) -> bool {
        matches!(
            self,
            Self::Failed {
                emulator_fault: true,
                ..
            }
        )
    }
}

/// What is printed while the checks run, and the sum of it.
#[derive(Debug)]
pub struct Report {
    started: Instant,
    passed: u32,
    skipped: u32,
    failed: Vec<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            passed: 0,
            skipped: 0,
            failed: Vec::new(),
        }
    }
}

impl Report {
    /// Prints what goes on.
    pub fn say(&self, text: &str) {
        println!("[{:>4} s] {text}", self.started.elapsed().as_secs());
    }

    /// Prints how a check ended.
    pub fn line(&self, suite: &str, check: &str, outcome: &Outcome, took: Duration) {
        let took = took.as_secs_f32();
        match outcome {
            Outcome::Passed => self.say(&format!("ok    {suite}/{check} ({took:.1} s)")),
            Outcome::Skipped(why) => self.say(&format!("skip  {suite}/{check}: {why}")),
            Outcome::Failed { reason, .. } => {
                self.say(&format!("FAIL  {suite}/{check} ({took:.1} s): {reason}"))
            }
        }
    }

    /// Counts an outcome.
    pub fn add(&mut self, suite: &str, check: &str, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Failed { .. } => self.failed.push(format!("{suite}/{check}")),
        }
    }

    pub const fn has_failures(&self) -> bool {
        !self.failed.is_empty()
    }

    pub fn print_summary(&self) {
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped
        );
    }
}
