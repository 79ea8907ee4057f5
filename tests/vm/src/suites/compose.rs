//! The compose plugin, which is an optional image.

use anyhow::Result;

use crate::guest::Guest;

const FILE: &str = "\
services:
  web:
    image: busybox:test
    command: httpd -f -p 80 -h /www
  client:
    image: busybox:test
    depends_on: [web]
    command: sh -c 'until wget -qO- http://web/index.html; do sleep 0.2; done'
";

pub fn two_service_file(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    super::ros::enable_compose(guest)?;
    guest.run("mkdir -p /home/rancher/app")?;
    guest
        .vm()?
        .write_file("/home/rancher/app/compose.yml", FILE.into())?;
    let result = guest
        .run("cd /home/rancher/app && docker compose up -d --pull never")
        // compose's own wait knows running containers only, and this one may have ended.
        .and_then(|_| {
            guest.run("cd /home/rancher/app && docker wait $(docker compose ps -aq client)")
        })
        .and_then(|_| {
            guest.expect(
                "cd /home/rancher/app && docker compose logs --no-log-prefix client",
                "hello from a container",
            )
        });
    guest.run("cd /home/rancher/app && docker compose down -t 1")?;
    result
}
