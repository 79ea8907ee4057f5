//! Checks what the built image promises, in virtual machines: `cargo run -p coracle-vm-tests [FILTER…]`.
//!
//! A suite boots one machine and runs its checks one after the other in it, since each boot takes half a minute of emulation.
//! A suite whose guest kernel fails by the emulator's fault is run once more.

mod check;
mod guest;
mod report;
mod suites;

use std::process::ExitCode;

use clap::Parser;

/// Checks the built image in virtual machines.
#[derive(Debug, Parser)]
#[command(name = "vm-tests")]
struct Options {
    /// Show the checks instead of running them.
    #[arg(long)]
    list: bool,
    /// Run only checks whose `suite/check` contains one of these.
    filters: Vec<String>,
}

impl Options {
    fn selects(&self, suite: &str, check: &str) -> bool {
        let name = format!("{suite}/{check}");
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        for suite in suites::ALL {
            for check in suite.checks {
                println!("{}/{}", suite.name, check.name);
            }
        }
        return ExitCode::SUCCESS;
    }
    let mut report = report::Report::default();
    for suite in suites::ALL {
        suite.run(&|check| options.selects(suite.name, check), &mut report);
    }
    report.print_summary();
    if report.has_failures() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
