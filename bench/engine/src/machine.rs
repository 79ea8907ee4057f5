//! The machine, and the measuring program in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use coracle_testkit::{BOOT_LIMIT, GUEST_USER, Project, Ssh, StateDir, Vm, busybox_archive, quote};
use serde_json::Value;

use crate::crun;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Emulated machines are slow, and there may be much to do.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
const COPY_LIMIT: Duration = Duration::from_secs(600);
const DIRECTORY: &str = "/var/tmp/engine-bench";

/// Builds the measuring program as a static program, and returns where it is.
pub fn build_program(project: &Project, debug: bool) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(project.root())
        .args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME")])
        .args(["--bin", "measure", "--target", TARGET])
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-Ctarget-feature=+crt-static",
        );
    if !debug {
        command.arg("--release");
    }
    let status = command.status().context("cannot run cargo")?;
    ensure!(
        status.success(),
        "the measuring program cannot be built: see above"
    );
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| project.root().join("target"), PathBuf::from);
    let profile = if debug { "debug" } else { "release" };
    Ok(target.join(TARGET).join(profile).join("measure"))
}

/// Measures in a machine of its own, which ends with this.
pub fn measure(
    project: &Project,
    memory: u32,
    cpus: u32,
    program: &Path,
    arguments: &[String],
) -> Result<Value> {
    let vm = Vm::builder(project.clone())
        .name("engine-bench")
        .memory_mib(memory)
        .cpus(cpus)
        .append("quiet")
        .start()?;
    vm.wait_for_ssh(BOOT_LIMIT)?;
    run(project, &vm.ssh()?, program, arguments)
}

/// Measures in a machine that runs already.
pub fn measure_in(
    project: &Project,
    name: &str,
    program: &Path,
    arguments: &[String],
) -> Result<Value> {
    let dir = StateDir::named(project, name)?;
    dir.wait_for_ssh(GUEST_USER, BOOT_LIMIT)?;
    run(project, &dir.ssh(GUEST_USER)?, program, arguments)
}

fn run(project: &Project, ssh: &Ssh, program: &Path, arguments: &[String]) -> Result<Value> {
    let image = busybox_archive(project)?;
    let prepared = format!("sudo mkdir -p {DIRECTORY} && sudo chmod 777 {DIRECTORY}");
    ssh.exec(&prepared, Vec::new(), COPY_LIMIT)?.success();
    for (file, name) in [(program, "measure"), (&image, "busybox.tar")] {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let place = format!("cat > {DIRECTORY}/{name} && chmod 755 {DIRECTORY}/{name}");
        let copied = ssh.exec(&place, content, COPY_LIMIT)?;
        ensure!(copied.code == 0, "cannot copy {name}: {}", copied.stderr);
    }
    crun::install(project, ssh, &format!("{DIRECTORY}/crun"))?;
    // Docker answers when it runs, which may be after the login.
    let command = format!(
        "sudo wait-for-docker && sudo {DIRECTORY}/measure --busybox {DIRECTORY}/busybox.tar {}",
        arguments
            .iter()
            .map(|word| quote(word))
            .collect::<Vec<_>>()
            .join(" ")
    );
    let output = ssh.exec(&command, Vec::new(), LIMIT)?;
    eprint!("{}", output.stderr);
    ensure!(
        output.code == 0,
        "the measuring program ended with {}: {}{}",
        output.code,
        output.stdout,
        output.stderr
    );
    serde_json::from_str(&output.stdout)
        .with_context(|| format!("the measuring program said {:?}", output.stdout))
}
