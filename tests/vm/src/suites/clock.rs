//! The machine's clock, which its ntp service sets by a real server: chrony beside QEMU.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use coracle_testkit::Project;

use crate::guest::Guest;

/// Where a source of the administrator's goes, and is read by the running service (H4-009).
const SOURCE: &str = "/etc/chrony/sources.d/test.sources";

/// A dead battery (D1-013). Nothing else is touched by the jumps there and back.
pub fn a_clock_that_is_years_off_is_set(guest: &mut Guest) -> Result<()> {
    guest.wait_for_services()?;
    let server = Server::start(&guest.project)?;
    // The gateway of QEMU's network is the host's loopback.
    let line = format!("server 10.0.2.2 port {} iburst", server.port);
    guest.run(&format!(
        "echo {line} | sudo system-docker exec -i ntp tee {SOURCE}"
    ))?;
    let mut before = guest.system_containers()?;
    guest.run("sudo date -s '2020-01-01 00:00:00' && sudo system-docker restart ntp")?;
    let set = guest.wait_until("[ $(date +%Y) -gt 2020 ]", 60);
    guest.run(&format!(
        "sudo system-docker exec ntp sh -c 'rm {SOURCE}; chronyc reload sources'"
    ))?;
    set?;
    let clock: u64 = guest.run("date +%s")?.parse()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    ensure!(now.abs_diff(clock) <= 5, "it is {now}, and there {clock}");
    before.insert("ntp".into(), guest.system_container("ntp")?);
    guest.ensure_untouched(&before)
}

/// An NTP server that tells this machine's time, and does not touch its clock.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(project: &Project) -> Result<Self> {
        // Free a moment ago; chronyd takes no port that the kernel chooses.
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let process = project
            .toolbox()?
            .command("chronyd")?
            // Does not set the clock, and needs no root.
            .args(["-n", "-x", "-U", "-u", "root"])
            .args(["bindaddress 127.0.0.1", &format!("port {port}"), "allow"])
            .args(["local stratum 8", "cmdport 0", "bindcmdaddress /"])
            .arg("pidfile /")
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start chronyd")?;
        Ok(Self { process, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the check has told.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
