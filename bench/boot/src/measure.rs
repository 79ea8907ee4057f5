//! One boot, watched from outside.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use coracle_testkit::{BOOT_LIMIT, Found, Project, Serial, Vm};
use serde::Serialize;

use crate::subject::Subject;

/// The machine counts as idle this long after its last milestone.
const IDLE_AFTER: Duration = Duration::from_secs(30);

/// Seconds from power-on, and what an idle machine holds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measurement {
    /// The kernel starts PID 1.
    pub init: f64,
    /// System Docker's API answers; Debian has none.
    pub system_docker: Option<f64>,
    /// The shell on the serial console shows its prompt.
    pub console: f64,
    /// sshd greets.
    pub ssh: f64,
    /// User Docker's API answers.
    pub docker_api: f64,
    /// `docker version`, typed at that prompt, has printed the server's version.
    pub docker_version: f64,
    /// `docker run`, typed after that, has printed what its container says.
    pub first_container: f64,
    /// Memory in use, in KiB: all that is there minus what is available (proc_meminfo(5)).
    pub memory_kib: f64,
    /// Processes besides the kernel's.
    pub processes: f64,
    /// Proportional set size of PID 1, in KiB.
    pub init_pss_kib: f64,
}

/// Boots the subject once.
pub fn measure(
    project: &Project,
    subject: &Subject,
    memory_mib: u32,
    cpus: u32,
) -> Result<Measurement> {
    let vm = subject
        .machine(project, false)
        .memory_mib(memory_mib)
        .cpus(cpus)
        .start()?;
    let probe = vm.second_serial().context("no second serial port")?;
    let seconds = |at: Instant| at.saturating_duration_since(vm.power_on()).as_secs_f64();
    let (ssh, sockets, console) = thread::scope(|scope| {
        let ssh = scope.spawn(|| vm.wait_for_ssh_banner(BOOT_LIMIT));
        let sockets = scope.spawn(|| watch_sockets(probe));
        let console = use_console(&vm, subject.prompt);
        (ssh.join(), sockets.join(), console)
    });
    let [prompt, version, container] = console?;
    let (init, system_docker, docker_api) =
        sockets.map_err(|_| anyhow::anyhow!("the probe's reader panicked"))??;
    let ssh = ssh.map_err(|_| anyhow::anyhow!("the SSH watcher panicked"))??;
    let sample = idle_sample(probe)?;
    Ok(Measurement {
        init: seconds(init),
        system_docker: system_docker.map(seconds),
        console: seconds(prompt.at),
        ssh: seconds(ssh),
        docker_api: seconds(docker_api),
        docker_version: seconds(version.at),
        first_container: seconds(container.at),
        memory_kib: sample[0],
        processes: sample[1],
        init_pss_kib: sample[2],
    })
}

/// Waits for the prompt, then types as a user would.
fn use_console(vm: &Vm, prompt: &str) -> Result<[Found; 3]> {
    let console = vm.serial();
    let ready = console.wait_for(prompt, BOOT_LIMIT)?;
    console.send("docker version --format 'server={{.Server.Version}}.'\n")?;
    let version = console.wait_for("server=2", BOOT_LIMIT)?;
    console.send("docker run --rm busybox:test sh -c 'echo ran-$((40+2))'\n")?;
    let container = console.wait_for("ran-42", BOOT_LIMIT)?;
    Ok([ready, version, container])
}

/// When the probe began, which is when PID 1 did, and when System Docker (if there is one) and User Docker answered it.
fn watch_sockets(probe: &Serial) -> Result<(Instant, Option<Instant>, Instant)> {
    let init = probe.wait_for("probe-started\r\n", BOOT_LIMIT)?.at;
    let mut system = None;
    loop {
        let found = probe.wait_for_any(
            &["answers system-docker\r\n", "answers docker\r\n"],
            BOOT_LIMIT,
        )?;
        if found.index == 1 {
            return Ok((init, system, found.at));
        }
        system = Some(found.at);
    }
}

/// The first sample that the probe takes when the machine has been left alone for a while.
fn idle_sample(probe: &Serial) -> Result<[f64; 3]> {
    let start = Instant::now();
    loop {
        probe.wait_for("sample ", BOOT_LIMIT)?;
        let line = probe.wait_for("\r\n", BOOT_LIMIT)?;
        if start.elapsed() < IDLE_AFTER {
            continue;
        }
        let numbers: Vec<f64> = line
            .before
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        return numbers
            .try_into()
            .ok()
            .with_context(|| format!("the probe wrote {:?}", line.before));
    }
}
