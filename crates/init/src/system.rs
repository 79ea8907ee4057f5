//! PID 1 from the system image: from the state partition to the services.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use coracle_config::{Loaded, load};
use coracle_engine::handover::Arrival;

use crate::consoles::Consoles;
use crate::devices::Devices;
use crate::disks::{self, Disk};
use crate::modules::{Index, Loader, Options};
use crate::phase::{Booting, OnFailure, Phase, run};
use crate::state::{self, Wish};
use crate::system_docker::SystemDocker;
use crate::urgency::Urgency;
use crate::{
    Error, control_groups, early, host_files, kernel_parameters, layout, logging, recovery, reload,
    shutdown, user_data,
};

/// After this long the console says what is being waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Drivers that look for disks may take this long before it is decided without them.
const SETTLE: Duration = Duration::from_secs(10);
/// Where System Docker's log is unless `rancher.defaults.system_docker_logs` says otherwise (B3-041).
const LOG: &str = "/var/log/system-docker.log";

/// Modules that Docker Engine will want, in the order in which it does. Loading them in the background while the first services
/// start costs no time; when Docker wants them it would wait for each.
const DOCKER_MODULES: &[&str] = &[
    "bridge",
    "br_netfilter",
    "veth",
    "nf_tables",
    "nft_compat",
    "nft_chain_nat",
    "nf_conntrack_netlink",
    "xt_addrtype",
    "xt_conntrack",
    "xt_MASQUERADE",
    "xt_nat",
    "xt_mark",
    "xt_tcpudp",
    "ip6_tables",
    "ip_set",
    "xfrm_user",
];

/// What happens after the initrd. System Docker comes early: the rest of the configuration is not its business, and disks that are slow
/// to appear are looked for meanwhile.
pub(crate) const PHASES: &[Phase<System>] = &[
    Phase {
        name: "devices",
        does: "load all other drivers, in the background",
        on_failure: OnFailure::Message,
        run: devices,
    },
    Phase {
        name: "state",
        does: "mount the state partition, or memory",
        on_failure: OnFailure::Recovery,
        run: mount_state,
    },
    Phase {
        name: "control-groups",
        does: "hand control groups down",
        on_failure: OnFailure::Recovery,
        run: hand_down_control_groups,
    },
    Phase {
        name: "system-docker",
        does: "become System Docker",
        on_failure: OnFailure::Recovery,
        run: system_docker,
    },
    Phase {
        name: "user-data",
        does: "read a config-2 or cidata volume",
        on_failure: OnFailure::Message,
        run: fetch_user_data,
    },
    Phase {
        name: "configuration",
        does: "merge all configuration",
        on_failure: OnFailure::Message,
        run: configuration,
    },
    Phase {
        name: "host",
        does: "set the host name and write /etc",
        on_failure: OnFailure::Message,
        run: host,
    },
    Phase {
        name: "kernel-parameters",
        does: "set kernel parameters and limits, load configured modules",
        on_failure: OnFailure::Message,
        run: parameters,
    },
    Phase {
        name: "services",
        does: "start the services, in the background",
        on_failure: OnFailure::Message,
        run: services,
    },
];

/// PID 1 once it runs from the system image.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) consoles: Arc<Consoles>,
    pub(crate) loaded: Loaded,
    devices: Option<Devices>,
    disks: Vec<Disk>,
    /// The configuration as far as it is known without the state partition, read while drivers are looked for.
    first_load: Option<JoinHandle<Loaded>>,
    /// What became of the control groups: the kernel makes who sets them up wait again and again, so that is done aside.
    control_groups: Option<JoinHandle<Result<(), Error>>>,
    pub(crate) docker: Option<SystemDocker>,
}

impl Booting for System {
    fn recover(&mut self, phase: &str, reason: &str) {
        recovery::enter(&self.consoles, phase, reason);
    }

    fn consoles(&self) -> &Consoles {
        &self.consoles
    }
}

/// The option with which PID 1 executes another version of itself.
pub const HANDOVER: &str = coracle_engine::handover::OPTION;

/// Role `system`: PID 1 after the initrd. Returns only when it is not PID 1. With `handover` it takes over from another version
/// of itself, which has left its data there: the boot is over, and nothing of it is done again.
#[must_use]
pub fn system(handover: Option<i32>) -> ExitCode {
    if !rustix::process::getpid().is_init() {
        eprintln!(
            "system: PID 1 becomes this after the initrd; \"coracle engine\" runs System Docker as a plain process"
        );
        return ExitCode::FAILURE;
    }
    // Before anything else is opened.
    let arrival = handover.map(Arrival::receive);
    let mut system = System {
        consoles: Arc::new(Consoles::open()),
        loaded: Loaded::default(),
        devices: None,
        disks: Vec::new(),
        first_load: None,
        control_groups: None,
        docker: None,
    };
    match arrival {
        Some(arrival) => reload::take_over(&mut system, arrival),
        None => run(
            &mut system,
            PHASES,
            early::PHASES.len() + 1,
            crate::phase_count(),
        ),
    }
    shutdown::wait_and_shut_down(system)
}

impl System {
    /// Loads drivers for what is there and for what comes.
    pub(crate) fn watch_devices(&mut self, allowed: Urgency) -> Result<(), Error> {
        let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let loader = Arc::new(Loader::new(
            Index::of_running_kernel()?,
            Options::from_cmdline(&line),
        ));
        self.devices = Some(Devices::start(loader, allowed)?);
        Ok(())
    }

    /// Where System Docker's log is.
    pub(crate) fn start_logging(&self) -> Result<(), Error> {
        let rancher = &self.loaded.config.rancher;
        let log = rancher
            .defaults
            .system_docker_logs
            .as_deref()
            .unwrap_or(LOG);
        logging::start(Path::new(log), rancher.debug)
    }

    fn devices(&self) -> Result<&Devices, Error> {
        self.devices
            .as_ref()
            .ok_or(Error::OutOfOrder { needs: "devices" })
    }

    /// Finds the state device, formatting or waiting as the configuration says. `None` is memory.
    fn locate_state(&mut self, wish: &Wish) -> Result<Option<Disk>, Error> {
        if wish.device.is_none() {
            return Ok(None);
        }
        if let Some(disk) = wish.find(&self.disks) {
            return Ok(Some(disk.clone()));
        }
        // The initrd loaded only the drivers that it needed itself.
        let devices = self.devices()?.clone();
        devices.settle(Urgency::Usb, SETTLE);
        self.disks = disks::scan();
        let is_there = |disks: &[Disk]| wish.find(disks).is_some() || wish.can_be_formatted(disks);
        if wish.wait && !is_there(&self.disks) {
            let consoles = Arc::clone(&self.consoles);
            let look = || {
                Some(disks::scan())
                    .filter(|disks| wish.find(disks).is_some() || wish.can_be_formatted(disks))
            };
            let found = devices.wait_for(PATIENCE, look).or_else(|| {
                consoles.say(&format!(
                    "waiting for the state device {}",
                    wish.device_text()
                ));
                devices.wait_for(state::WAIT, look)
            });
            self.disks = found.unwrap_or_else(disks::scan);
        }
        if wish.find(&self.disks).is_none() && wish.format_blank(&self.disks, &self.consoles)? {
            self.disks = disks::scan();
        }
        match wish.find(&self.disks) {
            Some(disk) => Ok(Some(disk.clone())),
            None => Err(wish.missing(&self.disks)),
        }
    }
}

/// Again by itself after a failure: a person may have repaired something.
fn hand_down_control_groups(system: &mut System) -> Result<(), Error> {
    result_of(&mut system.control_groups).unwrap_or_else(control_groups::set_up)
}

/// What was done aside, once.
fn result_of<T>(thread: &mut Option<JoinHandle<T>>) -> Option<T> {
    let result = thread.take()?.join();
    Some(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

fn mount_state(system: &mut System) -> Result<(), Error> {
    system.disks = disks::scan();
    // What is on the partition is not known yet: the defaults and the kernel command line say where it is.
    system.loaded = result_of(&mut system.first_load).unwrap_or_else(|| load(Path::new("/")));
    state::forget_failed_attempt();
    let config = system.loaded.config.rancher.state.clone();
    let mounted =
        Wish::new(&config, &system.disks).and_then(|wish| match system.locate_state(&wish)? {
            Some(disk) => {
                if let Some(filesystem) = &disk.filesystem {
                    // Built in, or not needed: mounting tells.
                    let _ = system.devices()?.loader().load(filesystem.kind.module());
                }
                state::mount_disk(&disk, config.fstype.as_deref(), &system.consoles)
            }
            None => state::mount_memory(),
        });
    if let Err(error) = mounted {
        if config.required {
            return Err(error);
        }
        system.consoles.say(&format!(
            "{error}\nWithout it nothing is kept: this run is in memory only."
        ));
        state::mount_memory()?;
    }
    let directory = state::directory(config.directory.as_deref())?;
    layout::lay_out(&directory, !system.loaded.config.rancher.no_sharedroot)?;
    // Now with what is on the partition.
    system.loaded = load(Path::new("/"));
    system.start_logging()
}

fn system_docker(system: &mut System) -> Result<(), Error> {
    // In most boots it is loaded by now. Built in, or not needed: the first container tells.
    let _ = system.devices()?.loader().load("overlay");
    system.docker = Some(SystemDocker::start(
        &system.loaded.config.rancher.system_docker,
        &system.consoles,
        None,
    )?);
    let devices = system.devices()?;
    devices.ask(Urgency::Network, DOCKER_MODULES);
    devices.allow(Urgency::Rest);
    Ok(())
}

fn fetch_user_data(system: &mut System) -> Result<(), Error> {
    let devices = system.devices()?;
    let names = &system.loaded.config.rancher.cloud_init.datasources;
    let sources = user_data::sources(names, &system.consoles);
    let fetch = || user_data::fetch(&sources, &disks::scan(), devices.loader(), &system.consoles);
    // Most machines that have such a volume have it on a disk that is there by now.
    let found = fetch()? || {
        devices.settle(Urgency::Usb, SETTLE);
        fetch()?
    };
    if found {
        system.loaded = load(Path::new("/"));
    }
    Ok(())
}

fn configuration(system: &mut System) -> Result<(), Error> {
    for problem in &system.loaded.problems {
        system.consoles.say(&problem.to_string());
    }
    if let Some(docker) = &system.docker {
        for problem in docker.set_registries(&system.loaded.config) {
            system.consoles.say(&problem);
        }
    }
    Ok(())
}

fn host(system: &mut System) -> Result<(), Error> {
    host_files::write(system.loaded.config.effective_hostname())
}

fn parameters(system: &mut System) -> Result<(), Error> {
    for problem in kernel_parameters::apply(&system.loaded.config.rancher.sysctl) {
        system.consoles.say(&problem);
    }
    load_configured(system)
}

fn services(system: &mut System) -> Result<(), Error> {
    let docker = system.docker.as_ref().ok_or(Error::OutOfOrder {
        needs: "system-docker",
    })?;
    docker.start_services();
    Ok(())
}

fn devices(system: &mut System) -> Result<(), Error> {
    system.control_groups = Some(thread::spawn(control_groups::set_up));
    system.first_load = Some(thread::spawn(|| load(Path::new("/"))));
    kernel_parameters::call_us_for_modules("/usr/bin/coracle")?;
    system.watch_devices(Urgency::Usb)?;
    // Every container's root is an overlay.
    system.devices()?.ask(Urgency::FastDisk, &["overlay"]);
    Ok(())
}

/// `rancher.modules`: each with its parameters (A2-006).
fn load_configured(system: &System) -> Result<(), Error> {
    let loader = system.devices()?.loader();
    for entry in &system.loaded.config.rancher.modules {
        let (name, parameters) = entry.split_once(' ').unwrap_or((entry, ""));
        if let Err(error) = loader.load_with(name, parameters) {
            system.consoles.say(&format!("rancher.modules: {error}"));
        }
    }
    Ok(())
}
