//! Boot as data: a table of phases, and the one loop that runs, times and reports them.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use coracle_boot_log::{DEFAULT_PATH, Entry, Kind, append, now_us};

use crate::Error;
use crate::consoles::Consoles;

/// What happens when a phase fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// A recovery shell on every console; leaving it tries the phase again.
    Recovery,
    /// A message on every console; the boot goes on without it.
    Message,
}

/// One step of the boot.
#[derive(Debug)]
pub struct Phase<C> {
    /// Its name, on the console and in the boot log.
    pub name: &'static str,
    /// What it does, for people.
    pub does: &'static str,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// The step itself.
    pub run: fn(&mut C) -> Result<(), Error>,
}

/// What the loop needs of the thing that is booting.
pub trait Booting {
    /// Opens a recovery shell and returns when the person there wants the boot to go on.
    fn recover(&mut self, phase: &str, reason: &str);
    /// Where to write.
    fn consoles(&self) -> &Consoles;
}

/// The table as text: number, name, what failing means, what it does.
#[must_use]
pub fn table<C>(first: usize, phases: &[Phase<C>]) -> String {
    let mut text = String::new();
    for (number, phase) in (first..).zip(phases) {
        let failure = match phase.on_failure {
            OnFailure::Recovery => "recovery",
            OnFailure::Message => "goes on",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{number:>2}  {:<18} {failure:<9} {}",
            phase.name, phase.does
        );
    }
    text
}

/// Runs phases in order; `first` of `total` is the number of the first one on the console.
pub fn run<C: Booting>(context: &mut C, phases: &[Phase<C>], first: usize, total: usize) {
    for (number, phase) in (first..).zip(phases) {
        context
            .consoles()
            .say(&format!("[{number}/{total}] {}", phase.name));
        while let Err(error) = run_one(context, phase) {
            match phase.on_failure {
                OnFailure::Recovery => context.recover(phase.name, &error),
                OnFailure::Message => {
                    context.consoles().say(&format!("{}: {error}", phase.name));
                    break;
                }
            }
        }
    }
}

fn run_one<C: Booting>(context: &mut C, phase: &Phase<C>) -> Result<(), String> {
    let start = now_us();
    // The context stays usable: phases change it only by whole assignments.
    let result = match catch_unwind(AssertUnwindSafe(|| (phase.run)(context))) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(panic_text(panic.as_ref())),
    };
    record(
        context.consoles(),
        Entry::ending_now(
            Kind::Phase,
            phase.name,
            start,
            result.as_ref().err().cloned(),
        ),
    );
    result
}

/// Adds an entry to the boot log. Before `/run` is mounted there is none, and that is no reason to stop.
pub fn record(consoles: &Consoles, entry: Entry) {
    if let Err(error) = append(Path::new(DEFAULT_PATH), &[entry]) {
        consoles.log(&error.to_string());
    }
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "internal error: {}",
        text.unwrap_or("a panic without a message")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fake {
        consoles: Consoles,
        trace: Vec<String>,
        broken: bool,
    }

    impl Booting for Fake {
        fn recover(&mut self, phase: &str, reason: &str) {
            self.trace.push(format!("recover {phase}: {reason}"));
            self.broken = false;
        }

        fn consoles(&self) -> &Consoles {
            &self.consoles
        }
    }

    const PHASES: &[Phase<Fake>] = &[
        Phase {
            name: "one",
            does: "works",
            on_failure: OnFailure::Recovery,
            run: |fake| {
                fake.trace.push("one".into());
                Ok(())
            },
        },
        Phase {
            name: "two",
            does: "fails once",
            on_failure: OnFailure::Recovery,
            run: |fake| {
                fake.trace.push("two".into());
                if fake.broken {
                    Err(Error::UnknownModule { name: "x".into() })
                } else {
                    Ok(())
                }
            },
        },
        Phase {
            name: "three",
            does: "always fails",
            on_failure: OnFailure::Message,
            run: |fake| {
                fake.trace.push("three".into());
                panic!("oh")
            },
        },
        Phase {
            name: "four",
            does: "comes last",
            on_failure: OnFailure::Message,
            run: |fake| {
                fake.trace.push("four".into());
                Ok(())
            },
        },
    ];

    #[test]
    fn failures_recover_and_retry_or_are_reported() {
        let mut fake = Fake {
            broken: true,
            ..Fake::default()
        };
        run(&mut fake, PHASES, 1, 4);
        assert_eq!(
            fake.trace,
            [
                "one",
                "two",
                "recover two: no kernel module x",
                "two",
                "three",
                "four"
            ]
        );
    }

    #[test]
    fn table_is_printed_for_people() {
        let want = " 6  one                recovery  works
 7  two                recovery  fails once
 8  three              goes on   always fails
 9  four               goes on   comes last
";
        assert_eq!(table(6, PHASES), want);
    }
}
