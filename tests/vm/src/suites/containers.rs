//! What System Docker's containers need a kernel with cgroup v2 for: limits, devices, freezing, running out of memory.

use anyhow::{Result, ensure};

use crate::guest::Guest;

/// Gives System Docker an image with busybox.
fn ensure_image(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    guest
        .run("sudo system-docker image inspect busybox:test >/dev/null 2>&1 || docker save busybox:test | sudo system-docker load -q")
        .map(drop)
}

/// Runs a container whose first line of output is compared; files are those of its control group.
fn expect_files(guest: &Guest, options: &str, files: &[(&str, &str)]) -> Result<()> {
    for (file, expected) in files {
        guest.expect(
            &format!(
                "sudo system-docker run --rm {options} busybox:test cat /sys/fs/cgroup/{file}"
            ),
            expected,
        )?;
    }
    Ok(())
}

pub fn limits_reach_the_kernel(guest: &mut Guest) -> Result<()> {
    ensure_image(guest)?;
    expect_files(
        guest,
        "--memory 32m --memory-swap 48m --memory-reservation 16m",
        &[
            ("memory.max", "33554432"),
            ("memory.swap.max", "16777216"),
            ("memory.low", "16777216"),
        ],
    )?;
    expect_files(
        guest,
        "--cpus 0.5 --pids-limit 77 --cpuset-cpus 0",
        &[
            ("cpu.max", "50000 100000"),
            ("pids.max", "77"),
            ("cpuset.cpus", "0"),
        ],
    )?;
    // 1024 shares of cgroup v1 are weight 39.
    expect_files(guest, "--cpu-shares 1024", &[("cpu.weight", "39")])?;
    let output = guest.exec(
        "sudo system-docker run --rm --pids-limit 5 busybox:test sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait' 2>&1",
    )?;
    ensure!(
        output.stdout.contains("fork"),
        "more processes than allowed: {}",
        output.stdout
    );
    let output = guest.exec("sudo system-docker create --cpuset-cpus 4096 busybox:test 2>&1")?;
    ensure!(
        output.stdout.contains("Requested CPUs are not available"),
        "a processor that is not there: {}",
        output.stdout
    );
    Ok(())
}

pub fn updates_reach_a_running_container(guest: &mut Guest) -> Result<()> {
    ensure_image(guest)?;
    guest.run("sudo system-docker rm -f updated >/dev/null 2>&1; sudo system-docker run -d --name updated --memory 32m busybox:test sleep 100000")?;
    guest.run("sudo system-docker update --memory 64m --memory-swap 64m --pids-limit 50 --cpus 0.25 updated")?;
    for (file, expected) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("pids.max", "50"),
        ("cpu.max", "25000 100000"),
    ] {
        guest.expect(
            &format!("sudo system-docker exec updated cat /sys/fs/cgroup/{file}"),
            expected,
        )?;
    }
    guest.expect(
        "sudo system-docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' updated",
        "67108864 50",
    )?;
    guest.run("sudo system-docker rm -f updated").map(drop)
}

pub fn running_out_of_memory_is_told(guest: &mut Guest) -> Result<()> {
    ensure_image(guest)?;
    guest.run("sudo system-docker rm -f greedy modest >/dev/null 2>&1; true")?;
    let run = |name: &str, command: &str| {
        format!(
            "sudo system-docker run --name {name} --memory 16m --memory-swap 16m busybox:test sh -c '{command}'"
        )
    };
    // tail keeps what has no end of line in its memory.
    let output = guest.exec(&run("greedy", "exec tail /dev/zero"))?;
    ensure!(
        output.code == 137,
        "the kernel did not kill it: {}",
        output.code
    );
    guest.expect(
        "sudo system-docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' greedy",
        "true 137",
    )?;
    // A child that is killed is told while the container runs: by an event, which follows what the container says of itself.
    guest.run(&run("modest", "tail /dev/zero; sleep 100000").replace("run ", "run -d "))?;
    let events = "sudo system-docker events --since 10m --until 0s --filter event=oom --format '{{.Actor.Attributes.name}}' | sort -u | tr '\\n' ' '";
    guest.wait_until(&format!("test \"$({events})\" = 'greedy modest '"), 60)?;
    guest.expect(
        "sudo system-docker inspect -f '{{.State.OOMKilled}} {{.State.Running}}' modest",
        "true true",
    )?;
    guest
        .run("sudo system-docker rm -f greedy modest")
        .map(drop)
}

pub fn devices_are_those_that_were_given(guest: &mut Guest) -> Result<()> {
    ensure_image(guest)?;
    // A console of the machine: everybody may make the node, and nobody use it.
    let read = "mknod /tmp/console c 4 1 && : </tmp/console";
    for (options, allowed) in [
        ("", false),
        ("--device-cgroup-rule 'c 4:1 r'", true),
        ("--device-cgroup-rule 'c 4:1 w'", false),
        ("--privileged", true),
    ] {
        let output = guest.exec(&format!(
            "sudo system-docker run --rm {options} busybox:test sh -c '{read}' 2>&1"
        ))?;
        let refused = output.stdout.contains("Operation not permitted");
        ensure!(
            refused != allowed,
            "with {options:?} opening a console gave: {}",
            output.stdout
        );
    }
    Ok(())
}

pub fn frozen_containers_do_not_run(guest: &mut Guest) -> Result<()> {
    ensure_image(guest)?;
    guest.run("sudo system-docker rm -f frozen >/dev/null 2>&1; sudo system-docker run -d --name frozen busybox:test sh -c 'while :; do :; done'")?;
    guest.run("sudo system-docker pause frozen")?;
    guest.expect(
        "sudo system-docker inspect -f '{{.State.Status}}' frozen",
        "paused",
    )?;
    let usage = "sudo sh -c 'cat /sys/fs/cgroup/system-docker/$(system-docker inspect -f {{.Id}} frozen)/cpu.stat' | head -n 1";
    let before = guest.run(usage)?;
    guest.expect(usage, &before)?;
    guest.run("sudo system-docker unpause frozen")?;
    guest.wait_until(&format!("test \"$({usage})\" != \"{before}\""), 30)?;
    guest.run("sudo system-docker rm -f frozen").map(drop)
}

pub fn syslog_has_what_containers_log(guest: &mut Guest) -> Result<()> {
    ensure_image(guest)?;
    guest.run("sudo system-docker run --rm --log-driver syslog --log-opt tag=under-test busybox:test echo a line for syslog")?;
    guest.wait_until("sudo grep -rq 'under-test.*a line for syslog' /var/log", 30)
}

/// With the firewall as User Docker left it.
pub fn networks_work_beside_user_docker(guest: &mut Guest) -> Result<()> {
    ensure_image(guest)?;
    guest.run("sudo system-docker rm -f server >/dev/null 2>&1; sudo system-docker network rm web >/dev/null 2>&1; sudo system-docker network create web")?;
    guest.run("sudo system-docker run -d --name server --network web -p 8099:80 busybox:test sh -c 'echo served >/tmp/index.html; exec httpd -f -h /tmp'")?;
    guest.wait_until("test \"$(wget -qO- http://127.0.0.1:8099/)\" = served", 30)?;
    guest.expect(
        "sudo system-docker run --rm --network web busybox:test wget -qO- http://server/",
        "served",
    )?;
    // The way out of the default network, to a port that is published on another one.
    guest.expect(
        "sudo system-docker run --rm --add-host machine:host-gateway busybox:test wget -qO- http://machine:8099/",
        "served",
    )?;
    guest.expect(
        "docker run --rm --add-host machine:host-gateway busybox:test wget -qO- http://machine:8099/",
        "served",
    )?;
    guest.run("sudo system-docker rm -f server && sudo system-docker network rm web")?;
    guest.expect("ls /sys/class/net | grep -c '^csys-' || true", "0")
}

/// The machine's interface has the name that the containers' will have; drivers and modules are the image's.
pub fn networks_sit_on_the_machines_interface(guest: &mut Guest) -> Result<()> {
    ensure_image(guest)?;
    let docker = "sudo system-docker";
    guest.run(&format!(
        "{docker} network create -d ipvlan --subnet 10.6.0.0/24 -o ipvlan_mode=l3 -o parent=eth0 routed; \
         {docker} network create -d macvlan --subnet 10.7.0.0/24 -o parent=eth0.10 tagged; \
         {docker} run -d --name server --network routed --ip 10.6.0.9 busybox:test sh -c 'echo served >/tmp/index.html; exec httpd -f -h /tmp'"
    ))?;
    guest.expect(
        &format!("{docker} exec server busybox ip route | tr -s ' ' | sed 's/ *$//'"),
        "default dev eth0 scope link\n10.6.0.0/24 dev eth0 scope link src 10.6.0.9",
    )?;
    guest.expect(
        &format!("{docker} run --rm --network routed busybox:test sh -c 'until wget -qO- http://server/; do usleep 50000; done'"),
        "served",
    )?;
    guest.expect(
        &format!("{docker} run --rm --network tagged busybox:test busybox ip route | cut -d ' ' -f 1-3; ls -d /sys/class/net/eth0.10"),
        "default via 10.7.0.1\n10.7.0.0/24 dev eth0\n/sys/class/net/eth0.10",
    )?;
    guest.run(&format!(
        "{docker} rm -f server && {docker} network rm routed tagged"
    ))?;
    guest.expect("ls /sys/class/net | grep -c 'eth0[.]' || true", "0")
}
