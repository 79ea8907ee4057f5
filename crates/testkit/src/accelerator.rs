use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::{Error, Project, Result, run_with_deadline};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's processor.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

/// A kernel that runs at all under KVM gets through its own start in a fraction of this.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

impl Accelerator {
    /// QEMU's arguments.
    pub(crate) const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // TCG crashes Debian's kernel after `cmpxchg16b`; five-level paging only costs time. `erms` and `fsrm` promise that
            // `rep stosb` is quick, and TCG carries it out byte by byte: the kernel would clear a page in 0.1 ms instead of 0.02.
            Self::Tcg => [
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max,-cx16,-la57,-erms,-fsrm",
            ],
        }
    }

    /// Its name, as in `CORACLE_ACCEL`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// KVM where it really runs `kernel`, else TCG. `CORACLE_ACCEL=tcg` or `kvm` decides without a probe (`kvm`: or fails).
    ///
    /// A machine may have `/dev/kvm` and yet hang or fail at the first instruction (nested virtualisation, filtered ioctls), so the
    /// kernel is started without a root file system: it must get as far as to complain about that. The answer is kept until the
    /// host reboots.
    pub(crate) fn choose(project: &Project, kernel: Option<&Path>) -> Result<Self> {
        let wanted = std::env::var("CORACLE_ACCEL").unwrap_or_default();
        if wanted == "tcg" {
            return Ok(Self::Tcg);
        }
        let verdict = cached_probe(project, kernel);
        match (verdict, wanted.as_str()) {
            (Ok(()), _) => Ok(Self::Kvm),
            (Err(reason), "kvm") => Err(Error::NoKvm(reason)),
            (Err(_), _) => Ok(Self::Tcg),
        }
    }
}

fn cached_probe(project: &Project, kernel: Option<&Path>) -> Result<(), String> {
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    device.map_err(|error| format!("/dev/kvm: {error}"))?;
    let kernel = kernel.ok_or("there is no kernel to probe it with")?;
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot_id = boot_id.trim();
    let path = project.cache().join("vm").join("kvm-probe");
    if let Ok(kept) = fs::read_to_string(&path)
        && let Some((kept_id, verdict)) = kept.split_once('\n')
        && kept_id == boot_id
    {
        return if verdict.is_empty() {
            Ok(())
        } else {
            Err(verdict.to_owned())
        };
    }
    let verdict = probe(project, kernel);
    let text = format!(
        "{boot_id}\n{}",
        verdict.as_ref().err().map_or("", String::as_str)
    );
    // Without the file the probe is only made again.
    let _ = fs::create_dir_all(project.cache().join("vm")).and_then(|()| fs::write(path, text));
    verdict
}

fn probe(project: &Project, kernel: &Path) -> Result<(), String> {
    let command = || -> Result<_> {
        let mut command = project.toolbox()?.command("qemu-system-x86_64")?;
        command.args(Accelerator::Kvm.arguments());
        command.args([
            "-M",
            "q35",
            "-m",
            "256",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
            "-serial",
            "stdio",
        ]);
        command
            .args(["-append", "console=ttyS0 panic=-1", "-kernel"])
            .arg(kernel);
        command.stdin(Stdio::null());
        Ok(command)
    };
    let command = command().map_err(|error| error.to_string())?;
    match run_with_deadline(command, Vec::new(), PROBE_LIMIT) {
        Ok(Some(output)) if output.stdout.contains("Unable to mount root fs") => Ok(()),
        Ok(Some(output)) => {
            let line = output
                .stderr
                .lines()
                .last()
                .unwrap_or("the kernel did not start")
                .to_owned();
            Err(line)
        }
        Ok(None) => Err(format!(
            "the kernel did not start within {} s",
            PROBE_LIMIT.as_secs()
        )),
        Err(error) => Err(error.to_string()),
    }
}
