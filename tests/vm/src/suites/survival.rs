//! What users and accidents do must not take the system down.

use std::time::Duration;

use anyhow::{Result, ensure};
use coracle_testkit::BOOT_LIMIT;

use crate::guest::{Guest, SERVICES};

pub fn removing_all_user_containers(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    let before = guest.system_containers()?;
    guest.run("for i in 1 2 3; do docker run -d busybox:test sleep 1000; done; docker create busybox:test")?;
    guest.run("docker rm -f $(docker ps -qa)")?;
    guest.expect("docker ps -qa", "")?;
    guest.ensure_untouched(&before)
}

pub fn pruning_user_docker(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    let before = guest.system_containers()?;
    guest.run("docker volume create unused && docker create busybox:test")?;
    guest.run("docker system prune -af --volumes")?;
    guest.expect("docker image ls -q", "")?;
    guest.ensure_untouched(&before)
}

pub fn privileged_container_with_the_host(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    let before = guest.system_containers()?;
    let seen = guest.run("docker run --rm --privileged --pid=host -v /:/host busybox:test sh -c 'ls /host/etc/hostname && ps | head -n 3'")?;
    ensure!(
        seen.contains("/host/etc/hostname"),
        "the console's root was not there: {seen}"
    );
    guest.ensure_untouched(&before)?;
    guest.expect("docker run --rm busybox:test echo still", "still")
}

pub fn killed_services_come_back(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    for service in SERVICES {
        let before = guest.system_container(service)?;
        let kill = guest.exec(&format!("sudo kill -9 {}", before.pid));
        if service == "console" {
            // The connection that asked for it was one of the console's processes.
            guest.vm()?.ssh()?.disconnect();
            guest.vm()?.wait_for_ssh(BOOT_LIMIT)?;
        } else {
            ensure!(
                kill?.code == 0,
                "{service}: process {} cannot be killed",
                before.pid
            );
        }
        let pid = "$(sudo system-docker inspect -f \"{{.State.Running}}-{{.State.Pid}}\" NAME)"
            .replace("NAME", service);
        guest.wait_until(
            &format!(
                "case {pid} in true-0|true-{}|false-*) false;; esac",
                before.pid
            ),
            60,
        )?;
        let after = guest.system_container(service)?;
        ensure!(
            after.id == before.id,
            "{service} came back as another container"
        );
    }
    guest.run("wait-for-docker")?;
    guest.expect("docker run --rm busybox:test echo again", "again")
}

/// Services start again on a full disk, and so does Docker, with which most of it can be freed (I4-003, J1-016, J3-007).
pub fn full_disk_takes_nothing_down(guest: &mut Guest) -> Result<()> {
    const RESERVE: &str = "/var/lib/docker/.reserve";
    guest.ensure_busybox()?;
    guest.expect(&format!("sudo stat -c %s {RESERVE}"), "33554432")?;
    // Most of it without writing 2 GiB; then what is kept for root.
    guest.run("sudo busybox fallocate -l $(df -k /home | awk 'NR == 2 {print $4}')k /home/most")?;
    guest.exec("sudo sh -c 'cat /dev/zero > /home/rest'")?;
    guest.expect("df -k /home | awk 'NR == 2 {print $4}'", "0")?;
    for service in ["syslog", "ntp", "docker"] {
        guest.run(&format!("sudo system-docker restart {service}"))?;
    }
    guest.run("wait-for-docker")?;
    guest.expect(&format!("sudo ls {RESERVE} 2>/dev/null | wc -l"), "0")?;
    guest.run("docker rmi busybox:test")?;
    guest.run("sudo rm /home/most /home/rest")?;
    guest.system_container("syslog")?;
    guest.ensure_busybox()?;
    guest.expect("docker run --rm busybox:test echo room", "room")
}

pub fn user_docker_restart_keeps_user_containers(guest: &mut Guest) -> Result<()> {
    let started = start_survivor(guest)?;
    let mounts = guest.run(MACHINE_MOUNTS)?;
    let before = guest.system_container("docker")?;
    guest.run("sudo system-docker restart docker && wait-for-docker")?;
    let after = guest.system_container("docker")?;
    ensure!(
        after.id == before.id && after.pid != before.pid,
        "User Docker was not restarted: {after:?}"
    );
    guest.expect(MACHINE_MOUNTS, &mounts)?;
    expect_survivor(guest, &started)
}

pub fn console_restart_keeps_user_containers(guest: &mut Guest) -> Result<()> {
    let started = start_survivor(guest)?;
    let mounts = guest.run(MACHINE_MOUNTS)?;
    let before = guest.system_container("console")?;
    // The stop ends this very session, so another container gives the two commands.
    guest.run("sudo system-docker exec -d docker sh -c 'system-docker stop console; system-docker start console'")?;
    // Its end shows in the closed connection; then the new console's sshd answers.
    let _ = guest
        .vm()?
        .exec_within("sleep 1000", Duration::from_secs(60));
    guest.vm()?.ssh()?.disconnect();
    guest.vm()?.wait_for_ssh(BOOT_LIMIT)?;
    let after = guest.system_container("console")?;
    ensure!(
        after.id == before.id && after.pid != before.pid,
        "the console was not restarted: {after:?}"
    );
    guest.expect(MACHINE_MOUNTS, &mounts)?;
    expect_survivor(guest, &started)
}

/// Where something is mounted in PID 1's eyes. What a service mounts for itself must not stay there, once more after each restart.
const MACHINE_MOUNTS: &str = "sudo awk '{print $5}' /proc/1/mountinfo | sort";

/// A container of User Docker; gives when it was started.
fn start_survivor(guest: &mut Guest) -> Result<String> {
    guest.ensure_busybox()?;
    guest.run("docker rm -f survivor 2>/dev/null; docker run -d --name survivor busybox:test sleep 100000")?;
    guest.run("docker inspect -f '{{.State.StartedAt}}' survivor")
}

/// It runs as it was started, and is removed.
fn expect_survivor(guest: &mut Guest, started: &str) -> Result<()> {
    guest.expect(
        "docker inspect -f '{{.State.Running}} {{.State.StartedAt}}' survivor",
        &format!("true {started}"),
    )?;
    guest.expect("docker exec survivor echo inside", "inside")?;
    guest.run("docker rm -f survivor").map(drop)
}
