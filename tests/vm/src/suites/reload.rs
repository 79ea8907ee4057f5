//! System Docker replaces itself by another version on a running machine.

use anyhow::{Result, ensure};

use crate::guest::Guest;

/// When PID 1 started, in clock ticks since the kernel did.
const STARTED: &str = "cut -d ' ' -f 22 /proc/1/stat";

pub fn a_new_version_takes_over_in_place(guest: &mut Guest) -> Result<()> {
    guest.ensure_busybox()?;
    guest.run(
        "docker rm -f runs-on 2>/dev/null; docker run -d --name runs-on busybox:test sleep 100000",
    )?;
    let user = "docker inspect -f '{{.State.Running}} {{.State.Pid}} {{.State.StartedAt}}' runs-on";
    let (started, running) = (guest.run(STARTED)?, guest.run(user)?);
    let boot = guest.run("sudo ros boot | md5sum")?;
    let before = guest.system_containers()?;
    for _ in 0..2 {
        let said = guest.run("sudo ros engine reload")?;
        ensure!(
            said.starts_with("System Docker is now /usr/bin/coracle "),
            "ros engine reload printed {said:?}"
        );
    }
    guest.expect(STARTED, &started)?;
    guest.expect("sudo ros boot | md5sum", &boot)?;
    guest.ensure_untouched(&before)?;
    guest.expect(user, &running)?;
    guest.expect("docker exec runs-on echo inside", "inside")?;
    let refused = guest.exec("sudo ros engine reload --binary /usr/share/ros/os-release 2>&1")?;
    ensure!(
        refused.code != 0 && refused.stdout.contains("cannot take over"),
        "what is no program was not refused: {}",
        refused.stdout
    );
    // The watch of services goes on.
    let syslog = guest.system_container("syslog")?;
    guest.run(&format!("sudo kill -9 {}", syslog.pid))?;
    guest.wait_until(
        &format!(
            "case $(sudo system-docker inspect -f \"{{{{.State.Running}}}}-{{{{.State.Pid}}}}\" syslog) in true-0|true-{}|false-*) false;; esac",
            syslog.pid
        ),
        60,
    )?;
    guest.run("docker rm -f runs-on").map(drop)
}
