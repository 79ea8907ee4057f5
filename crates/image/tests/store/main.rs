//! The store with real archives and real helper processes.
//!
//! Called as `… unpack …` this binary is the helper. Needs root, because layers keep owners and the helper changes its
//! root; says so and skips otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod archives;
mod bundled;
mod cases;
mod committed;
mod place;
mod transfer;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if first.as_ref().is_some_and(|role| role == "unpack") {
        return coracle_image::unpack::main(args);
    }
    if !rustix::process::geteuid().is_root() {
        println!("store: skipped: needs root");
        return ExitCode::SUCCESS;
    }
    let filter = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_default();
    let mut failed = 0;
    for (name, case) in cases::ALL
        .iter()
        .filter(|(name, _)| name.contains(filter.as_str()))
    {
        let passed = std::panic::catch_unwind(case).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u32::from(!passed);
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
