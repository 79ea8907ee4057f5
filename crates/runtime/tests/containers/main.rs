//! Real containers, made by the helper in a pid and mount namespace with cgroup v2.
//!
//! This binary plays all parts: called as `… runtime …` it is the helper, called as `… inside` it is PID 1 of the
//! namespace, otherwise it makes the namespace. Needs root, `unshare`, a static busybox and perl; says so and skips
//! otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod bench;
mod cases;
mod devices;
mod mounts;
mod system_calls;

use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(role) if role == "runtime" => return coracle_runtime::main(args),
        Some(role) if role == "inside" => {
            return inside(args.next().and_then(|filter| filter.into_string().ok()));
        }
        _ => {}
    }
    if let Some(reason) = missing() {
        println!("containers: skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let exe = std::env::current_exe().expect("this program has a path");
    let status = Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--uts",
            "--ipc",
            "--propagation",
            "private",
            "--mount-proc",
        ])
        .arg(exe)
        .arg("inside")
        .args(filter)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("containers: unshare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why this machine cannot run the tests.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    for program in ["/bin/busybox", "/usr/bin/perl", "/usr/bin/unshare"] {
        if !Path::new(program).exists() {
            return Some(format!("needs {program}"));
        }
    }
    None
}

fn inside(filter: Option<String>) -> ExitCode {
    bench::mount_cgroup2();
    let mut failed = 0;
    for (name, case) in cases::ALL {
        if filter
            .as_ref()
            .is_some_and(|filter| !name.contains(filter.as_str()))
        {
            continue;
        }
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
