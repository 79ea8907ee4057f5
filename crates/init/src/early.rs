//! PID 1 in the initrd.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use coracle_boot_log::{Entry, Kind, now_us};
use coracle_config::{Config, Layer, combine};
use rustix::system::{RebootCommand, reboot};

use crate::Error;
use crate::consoles::Consoles;
use crate::devices::Devices;
use crate::modules::{Index, Loader, Options};
use crate::mounts::{KERNEL, mount_all};
use crate::phase::{Booting, OnFailure, Phase, record, run};
use crate::urgency::Urgency;
use crate::{kernel_parameters, recovery, state, switch_root, system_image};

/// What happens in the initrd.
pub(crate) const PHASES: &[Phase<Early>] = &[
    Phase {
        name: "mounts",
        does: "mount the kernel's file systems",
        on_failure: OnFailure::Recovery,
        run: mounts,
    },
    Phase {
        name: "drivers",
        does: "load drivers for disks, in the background",
        on_failure: OnFailure::Recovery,
        run: drivers,
    },
    Phase {
        name: "recovery",
        does: "open a shell if rancher.recovery asks for one",
        on_failure: OnFailure::Message,
        run: asked_recovery,
    },
    Phase {
        name: "system-image",
        does: "find system.erofs and mount it on /usr of the new root",
        on_failure: OnFailure::Recovery,
        run: system_image,
    },
    Phase {
        name: "switch-root",
        does: "free the initrd and go on with the binary in system.erofs",
        on_failure: OnFailure::Recovery,
        run: check_system,
    },
];

/// PID 1 while it runs from the initrd.
#[derive(Debug, Default)]
pub(crate) struct Early {
    consoles: Consoles,
    config: Config,
    devices: Option<Devices>,
}

impl Booting for Early {
    fn recover(&mut self, phase: &str, reason: &str) {
        // The keyboard's driver may be among the rest.
        if let Some(devices) = &self.devices {
            devices.allow(Urgency::Rest);
        }
        recovery::enter(&self.consoles, phase, reason);
    }

    fn consoles(&self) -> &Consoles {
        &self.consoles
    }
}

/// Role `init`: PID 1 as the kernel starts it. Returns only when it is not PID 1.
#[must_use]
pub fn init() -> ExitCode {
    if !rustix::process::getpid().is_init() {
        eprintln!("init: only the kernel starts this, as process 1; \"ros\" manages the machine");
        return ExitCode::FAILURE;
    }
    // Ctrl-Alt-Del becomes SIGINT instead of an immediate restart.
    let _ = reboot(RebootCommand::CadOff);
    let started = now_us();
    let mut early = Early::default();
    let total = crate::phase_count();
    run(&mut early, &PHASES[..1], 1, total);
    record(
        &early.consoles,
        Entry {
            kind: Kind::Phase,
            name: "kernel".into(),
            start_us: 0,
            end_us: started,
            error: None,
        },
    );
    run(&mut early, &PHASES[1..], 2, total);
    loop {
        let error = switch_root::switch(&["system"]);
        early.recover("switch-root", &error.to_string());
    }
}

fn mounts(early: &mut Early) -> Result<(), Error> {
    mount_all(KERNEL)?;
    early.consoles = Consoles::open();
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let (layer, problems) = Layer::from_cmdline(&line);
    for problem in problems {
        early.consoles.say(&problem.to_string());
    }
    // Keys of the wrong type were left out above.
    early.config = serde_json::from_value(combine(vec![layer])).unwrap_or_default();
    Ok(())
}

fn drivers(early: &mut Early) -> Result<(), Error> {
    kernel_parameters::call_us_for_modules("/init")?;
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let loader = Loader::new(Index::of_running_kernel()?, Options::from_cmdline(&line));
    let devices = Devices::start(Arc::new(loader), Urgency::FastDisk)?;
    // The system image needs it wherever it is.
    devices.ask(Urgency::FastDisk, &["erofs"]);
    early.devices = Some(devices);
    Ok(())
}

fn asked_recovery(early: &mut Early) -> Result<(), Error> {
    if early.config.rancher.recovery {
        early.recover(
            "recovery",
            "rancher.recovery was given on the kernel command line; \"exit\" boots",
        );
    }
    Ok(())
}

fn system_image(early: &mut Early) -> Result<(), Error> {
    let devices = early
        .devices
        .as_ref()
        .ok_or(Error::OutOfOrder { needs: "drivers" })?;
    switch_root::prepare()?;
    let target = Path::new(switch_root::NEW_ROOT).join("usr");
    system_image::mount_system(devices, &early.consoles, &target)?;
    // Loading it takes as long as the way to the phase `state`, and another processor is free.
    if state::expects_ext4(&early.config.rancher.state) {
        devices.ask(Urgency::FastDisk, &["ext4"]);
    }
    Ok(())
}

fn check_system(_: &mut Early) -> Result<(), Error> {
    switch_root::check_next()
}
