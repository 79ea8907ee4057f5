//! PID 1 becomes another version of itself: the machine stays as it is, and no container notices.

use std::path::Path;

use coracle_config::load;
use coracle_engine::handover::Arrival;

use crate::phase::Booting as _;
use crate::system::System;
use crate::system_docker::SystemDocker;
use crate::urgency::Urgency;

/// The role of PID 1, as an argument.
const ROLE: &str = "system";

/// Executes `program` in this process's place. Returns only when that could not be, nor this binary be executed again: then
/// System Docker goes on here.
pub(crate) fn hand_over(system: &mut System, docker: SystemDocker, program: &Path) {
    let (departure, late) = docker.hand_over();
    let signal = late.and_then(|action| action.signal(crate::REALTIME_MINIMUM));
    if let Some(signal) = signal {
        // Held back, it reaches the successor.
        let sent = coracle_sys::signal::block_all()
            .and_then(|()| coracle_sys::signal::send_to_init(signal));
        if let Err(error) = sent {
            system.consoles.log(&format!("a signal is lost: {error}"));
        }
    }
    let arrival = departure.execute(program, &["coracle".into(), ROLE.into()]);
    go_on(system, arrival);
}

/// Role `system` after such an exec.
pub(crate) fn take_over(system: &mut System, arrival: Arrival) {
    system.loaded = load(Path::new("/"));
    if let Err(error) = system.start_logging() {
        system.consoles.say(&error.to_string());
    }
    // Drivers of what is plugged in later. Those of what is there are loaded.
    if let Err(error) = system.watch_devices(Urgency::Rest) {
        system.consoles.say(&error.to_string());
    }
    go_on(system, arrival);
}

fn go_on(system: &mut System, arrival: Arrival) {
    let is_whole = !arrival.is_damaged();
    let mut arrival = Some(arrival);
    let docker = loop {
        let goes_on = arrival.is_some() && is_whole;
        let config = &system.loaded.config.rancher.system_docker;
        match SystemDocker::start(config, &system.consoles, arrival.take()) {
            Ok(docker) => {
                if !goes_on {
                    docker.start_services();
                }
                break docker;
            }
            // There is nothing left to go on with: as after a crash.
            Err(error) => system.recover("system-docker", &error.to_string()),
        }
    };
    if let Err(error) = SystemDocker::let_signals_through() {
        system.consoles.say(&error.to_string());
    }
    for problem in docker.set_registries(&system.loaded.config) {
        system.consoles.say(&problem);
    }
    system.docker = Some(docker);
}
