//! Says on the terminal what becomes of each service, as it happens.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use coracle_services::{Done, Observer, Outcome, Problem};

use crate::Error;
use crate::context::Context;

/// Prints outcomes; remembers the first failure to print.
pub(super) struct Report<'a> {
    inner: Mutex<Inner<'a>>,
}

struct Inner<'a> {
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    failed: bool,
    printing: io::Result<()>,
}

impl<'a> Report<'a> {
    /// A report on the command's own output.
    pub(super) fn on<'b: 'a>(context: &'a mut Context<'b>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                out: context.out,
                err: context.err,
                failed: false,
                printing: Ok(()),
            }),
        }
    }

    /// How it went altogether.
    pub(super) fn result(self) -> Result<(), Error> {
        let inner = self
            .inner
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        inner.printing?;
        match inner.failed {
            true => Err(Error::Reported),
            false => Ok(()),
        }
    }
}

impl Observer for Report<'_> {
    fn problem(&self, problem: &Problem) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let printed = writeln!(inner.err, "{problem}");
        inner.note(printed);
    }

    fn done(&self, outcome: &Outcome) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let printed = match &outcome.result {
            Ok(Done::Unchanged) => Ok(()),
            Ok(done) => writeln!(inner.out, "{}: {}", outcome.name, word(*done)),
            Err(error) => {
                inner.failed = true;
                writeln!(inner.err, "{}: {error}", outcome.name)
            }
        };
        inner.note(printed);
    }
}

impl Inner<'_> {
    fn note(&mut self, printed: io::Result<()>) {
        if self.printing.is_ok() {
            self.printing = printed;
        }
    }
}

fn word(done: Done) -> &'static str {
    match done {
        Done::Running => "is running",
        Done::Created => "created",
        Done::Started => "started",
        Done::Ran => "done",
        Done::Stopped => "stopped",
        Done::Removed => "removed",
        Done::Unchanged => "nothing to do",
    }
}
