//! Memory of an engine: the proportional share of all its processes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Programs of dockerd besides itself. They belong to User Docker: System Docker is one process.
const DOCKERD: &[&str] = &[
    "dockerd",
    "containerd",
    "containerd-shim",
    "docker-proxy",
    "docker-init",
];

/// MB of the engine behind a socket: who listens there, or dockerd with its helpers.
pub fn of_engine(socket: &Path) -> Result<f64> {
    let is_system = socket.to_string_lossy().contains("system-docker");
    let mut total = 0;
    for entry in fs::read_dir("/proc").context("list processes")?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // The kernel keeps 15 bytes of a name.
        let is_dockerd = DOCKERD
            .iter()
            .any(|name| command.trim_end() == &name[..name.len().min(15)]);
        if (is_system && pid == "1") || (!is_system && is_dockerd) {
            // One that has ended in the meantime has none.
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            total += text
                .lines()
                .find_map(|line| {
                    line.strip_prefix("Pss:")?
                        .split_whitespace()
                        .next()?
                        .parse::<u32>()
                        .ok()
                })
                .unwrap_or(0);
        }
    }
    ensure!(
        total > 0,
        "no process of the engine at {} is seen",
        socket.display()
    );
    Ok(f64::from(total) / 1e3)
}
