//! The users' Docker Engine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::guest::Guest;

pub fn docker_is_new(guest: &mut Guest) -> Result<()> {
    let version = guest.run("docker version --format '{{.Server.Version}}'")?;
    let mut numbers = version.split(['.', '+', '-']).map(str::parse::<u32>);
    let major = numbers.next().context("no version")??;
    let minor = numbers.next().context("no minor version")??;
    ensure!(
        (major, minor) >= (28, 5),
        "the server's version is {version}"
    );
    Ok(())
}

pub fn docker_reads_what_write_files_wrote(guest: &mut Guest) -> Result<()> {
    guest.expect("docker info --format '{{.Labels}}'", "[from=write_files]")
}

pub fn services_after_docker_started_when_it_had_answered(guest: &mut Guest) -> Result<()> {
    let id = guest.system_container("system-cron")?.id;
    let started = format!("/run/system-docker/bundles/{id}/config.json");
    guest
        .run(&format!("[ ! /run/docker-done -nt {started} ]"))
        .map(drop)
}

pub fn docker_has_the_largest_share_only_until_it_answers(guest: &mut Guest) -> Result<()> {
    let id = guest.system_container("docker")?.id;
    let weight = format!("cat /sys/fs/cgroup/system-docker/{id}/cpu.weight");
    guest.expect(&weight, "100")?;
    guest.run("sudo system-docker restart docker")?;
    guest.wait_until(&format!("[ \"$({weight})\" = 10000 ]"), 30)?;
    guest.run("wait-for-docker")?;
    guest.wait_until(&format!("[ \"$({weight})\" = 100 ]"), 30)
}

/// PID 1 holds the socket open: without an answer from somebody, clients would wait in silence.
pub fn clients_hear_why_docker_does_not_start(guest: &mut Guest) -> Result<()> {
    let file = "/etc/docker/daemon.json";
    guest.run(&format!(
        "sudo cp {file} {file}.good && echo '{{\"no-such-key\": 1}}' | sudo tee {file} && sudo system-docker restart docker"
    ))?;
    let refused = guest.exec("docker ps 2>&1");
    // Reloading ends the answers, and dockerd is started again.
    guest.run(&format!(
        "sudo mv {file}.good {file} && sudo system-docker kill -s HUP docker && wait-for-docker"
    ))?;
    let refused = refused?;
    ensure!(
        refused.code == 1
            && refused
                .stdout
                .contains("Error response from daemon: Docker does not start: ")
            && refused.stdout.contains("no-such-key"),
        "docker ps ended with {} and said: {}",
        refused.code,
        refused.stdout
    );
    guest.run("docker ps").map(drop)
}

pub fn run_prints_and_removes(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    guest.expect(
        "docker run --rm --name once busybox:test echo hello",
        "hello",
    )?;
    guest.expect("docker ps -aq --filter name=once", "")?;
    let output = guest.exec("docker run --rm busybox:test sh -c 'exit 7'")?;
    ensure!(output.code == 7, "exit code 7 arrived as {}", output.code);
    Ok(())
}

pub fn run_on_a_terminal(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    let typed = b"echo answer-$((40+2))\nexit\n".to_vec();
    let limit = Duration::from_secs(120);
    let output =
        guest
            .vm()?
            .ssh()?
            .exec_on_terminal("docker run --rm -it busybox:test", typed, limit)?;
    ensure!(
        output.code == 0,
        "exit code {}: {}",
        output.code,
        output.stdout
    );
    ensure!(
        output.stdout.contains("answer-42"),
        "the terminal showed: {}",
        output.stdout
    );
    Ok(())
}

pub fn published_port_answers_on_the_host(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    guest.run("docker run -d --name web -p 8080:80 busybox:test httpd -f -p 80 -h /www")?;
    let outside = guest.http_get(8080, "/index.html", Duration::from_secs(60));
    let inside = guest.run("docker run --rm --network container:web busybox:test wget -qO- http://127.0.0.1/index.html");
    guest.run("docker rm -f web")?;
    ensure!(
        outside? == "hello from a container\n",
        "the host got another page"
    );
    ensure!(
        inside? == "hello from a container",
        "the container got another page"
    );
    Ok(())
}

pub fn volumes_are_the_consoles_files(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    guest.run("echo from-home > /home/rancher/proof")?;
    guest.expect(
        "cd /home/rancher && docker run --rm -v $PWD:/x busybox:test cat /x/proof",
        "from-home",
    )?;
    let hostname = guest.run("cat /etc/hostname")?;
    guest.expect(
        "cd /etc && docker run --rm -v $PWD:/x busybox:test cat /x/hostname",
        &hostname,
    )?;
    guest.run("cd /home/rancher && docker run --rm -v $PWD:/x busybox:test sh -c 'echo from-container > /x/proof'")?;
    guest.expect("cat /home/rancher/proof", "from-container")
}
