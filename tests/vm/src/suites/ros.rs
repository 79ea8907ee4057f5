//! The management command.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use coracle_testkit::Project;

use crate::check::Skip;
use crate::guest::Guest;

pub fn version(guest: &mut Guest) -> Result<()> {
    let output = guest.run("ros -v")?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(
        output.contains(version),
        "`ros -v` prints {output:?} without {version}"
    );
    Ok(())
}

pub fn os_version(guest: &mut Guest) -> Result<()> {
    let output = guest.run("sudo ros os version")?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(
        output.contains(version),
        "`ros os version` prints {output:?} without {version}"
    );
    Ok(())
}

pub fn service_list_and_ps(guest: &mut Guest) -> Result<()> {
    let list = guest.run("sudo ros service list")?;
    ensure!(
        list.lines().count() > 0,
        "`ros service list` prints nothing"
    );
    let ps = guest.run("sudo ros service ps")?;
    for service in crate::guest::SERVICES {
        ensure!(
            ps.contains(service),
            "`ros service ps` does not name {service}:\n{ps}"
        );
    }
    Ok(())
}

pub fn service_logs(guest: &mut Guest) -> Result<()> {
    let ours = guest.run("sudo ros service logs network")?;
    let theirs = guest.run("sudo system-docker logs network 2>&1")?;
    let line = theirs.lines().next().unwrap_or_default();
    ensure!(
        ours.contains(line),
        "`ros service logs network` lacks {line:?}:\n{ours}"
    );
    Ok(())
}

pub fn service_stop_up_and_restart(guest: &mut Guest) -> Result<()> {
    let before = guest.system_container("acpid")?;
    guest.run("sudo ros service stop acpid")?;
    guest.expect("sudo system-docker ps -q --filter name=acpid", "")?;
    guest.run("sudo ros service up -d acpid")?;
    let up = guest.system_container("acpid")?;
    ensure!(
        up.pid != before.pid,
        "acpid has process {} as before its stop",
        up.pid
    );
    guest.run("sudo ros service restart acpid")?;
    let restarted = guest.system_container("acpid")?;
    ensure!(
        restarted.pid != up.pid,
        "acpid has process {} as before its restart",
        up.pid
    );
    Ok(())
}

pub fn boot_table_and_picture(guest: &mut Guest) -> Result<()> {
    let table = guest.run("sudo ros boot")?;
    for name in ["console", "docker", "network"] {
        ensure!(
            table.contains(name),
            "`ros boot` does not name {name}:\n{table}"
        );
    }
    guest.run("sudo ros boot --svg /tmp/boot.svg")?;
    let picture = guest.run("cat /tmp/boot.svg")?;
    ensure!(
        picture.contains("<svg") && picture.contains("</svg>"),
        "no picture: {picture}"
    );
    ensure!(
        picture.contains("console"),
        "the picture does not name the console"
    );
    Ok(())
}

/// Enables the optional image with the compose plugin, if the build made one.
pub fn enable_compose(guest: &Guest) -> Result<()> {
    if guest.exec("docker compose version")?.code == 0 {
        return Ok(());
    }
    let Some(image) = compose_image(&guest.project) else {
        return Err(Skip("the build made no docker-compose image".into()).into());
    };
    guest.vm()?.copy_in(&image, "/home/rancher/compose.tar")?;
    guest.run("sudo system-docker load -i compose.tar && rm compose.tar")?;
    guest.run("sudo ros service enable docker-compose && sudo ros service up docker-compose")?;
    guest.run("docker compose version").map(drop)
}

/// The image archive that the build made, if it did.
fn compose_image(project: &Project) -> Option<PathBuf> {
    project.dist("images/docker-compose.tar").ok()
}
