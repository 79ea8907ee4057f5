//! The smallest memory with which a machine boots and runs a container.

use std::time::Duration;

use anyhow::Result;
use coracle_testkit::{Project, retry_after_emulator_fault};

use crate::subject::Subject;

/// Sizes to try, in MiB, largest first.
const SIZES: &[u32] = &[512, 384, 320, 256, 224, 192, 176, 160, 144, 128];

/// A machine that thrashes for longer than this is of no use.
const LIMIT: Duration = Duration::from_secs(240);

/// Tries sizes until one fails; the last that worked.
pub fn find(project: &Project, subject: &Subject, cpus: u32) -> Result<Option<u32>> {
    let mut smallest = None;
    for size in SIZES {
        match works(project, subject, *size, cpus) {
            Ok(seconds) => {
                println!(
                    "{}: {size} MiB: a container has run after {seconds:.1} s",
                    subject.name
                );
                smallest = Some(*size);
            }
            Err(error) => {
                let text = error.to_string();
                println!(
                    "{}: {size} MiB: {}",
                    subject.name,
                    text.lines().next().unwrap_or_default()
                );
                return Ok(smallest);
            }
        }
    }
    Ok(smallest)
}

fn works(
    project: &Project,
    subject: &Subject,
    memory_mib: u32,
    cpus: u32,
) -> coracle_testkit::Result<f64> {
    retry_after_emulator_fault(|| {
        let vm = subject
            .machine(project, false)
            .memory_mib(memory_mib)
            .cpus(cpus)
            .start()?;
        let console = vm.serial();
        console.wait_for(subject.prompt, LIMIT)?;
        console.send("docker run --rm busybox:test sh -c 'echo ran-$((40+2))'\n")?;
        let found = console.wait_for("ran-42", LIMIT)?;
        Ok(found
            .at
            .saturating_duration_since(vm.power_on())
            .as_secs_f64())
    })
}
