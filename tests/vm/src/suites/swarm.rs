//! Swarm mode of the users' Docker Engine: ipvs and vxlan of the image's kernel, and an engine that starts again as a node.

use anyhow::Result;

use crate::guest::Guest;

const LIVE_RESTORE: &str = "docker info -f '{{.LiveRestoreEnabled}}'";

pub fn a_node_of_a_swarm_serves_and_starts_again(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    guest.run("sudo ros config set rancher.docker.live_restore false && sudo system-docker kill -s HUP docker")?;
    guest.wait_until(&format!("[ \"$({LIVE_RESTORE})\" = false ]"), 30)?;
    let result = serve_and_start_again(guest);
    let left = guest.run("docker swarm leave --force; sudo ros config set rancher.docker.live_restore true && sudo system-docker kill -s HUP docker");
    result?;
    left?;
    guest.wait_until(&format!("[ \"$({LIVE_RESTORE})\" = true ]"), 30)
}

fn serve_and_start_again(guest: &Guest) -> Result<()> {
    let page = "[ \"$(wget -qO- http://127.0.0.1:8081/index.html)\" = 'hello from a container' ]";
    guest.run(
        "docker swarm init --advertise-addr 10.0.2.15 && docker network create -d overlay inner",
    )?;
    guest.run("docker service create -d -q --no-resolve-image --name web --network inner -p 8081:80 busybox:test httpd -f -p 80 -h /www")?;
    guest.wait_until(page, 60)?;
    // dockerd does not start with both, whatever the configuration says by now.
    guest.run("sudo ros config set rancher.docker.live_restore true && sudo system-docker restart docker && wait-for-docker")?;
    guest.expect(LIVE_RESTORE, "false")?;
    guest.wait_until(page, 60)
}
