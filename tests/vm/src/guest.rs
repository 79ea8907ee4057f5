use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use coracle_testkit::{BOOT_LIMIT, Output, Project, Vm, VmBuilder};

/// The services that every machine runs.
pub const SERVICES: [&str; 8] = [
    "acpid",
    "console",
    "docker",
    "network",
    "ntp",
    "syslog",
    "system-cron",
    "udev",
];

/// The machine under test.
pub struct Guest {
    pub project: Project,
    builder: VmBuilder,
    vm: Option<Vm>,
}

/// What makes a container the same one as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    pub id: String,
    pub started_at: String,
    pub pid: u32,
}

impl Guest {
    /// Powers the machine on.
    pub fn boot(project: Project, builder: VmBuilder) -> Result<Self> {
        let vm = builder.clone().start()?;
        Ok(Self {
            project,
            builder,
            vm: Some(vm),
        })
    }

    /// The machine.
    pub fn vm(&self) -> Result<&Vm> {
        self.vm.as_ref().context("the machine is off")
    }

    /// Powers the machine on again after it went off.
    pub fn boot_again(&mut self) -> Result<()> {
        self.vm = None;
        self.vm = Some(self.builder.clone().start()?);
        self.ready()
    }

    /// Powers on when an earlier check left the machine off.
    pub fn ensure_on(&mut self) -> Result<()> {
        let on = self
            .vm
            .as_ref()
            .is_some_and(|vm| vm.dir().running().is_some());
        if on { Ok(()) } else { self.boot_again() }
    }

    /// Waits for SSH and User Docker.
    pub fn ready(&mut self) -> Result<()> {
        self.vm()?.wait_for_ssh(BOOT_LIMIT)?;
        self.run("wait-for-docker").map(drop)
    }

    /// Runs a command in the console that has to succeed, and returns its trimmed output.
    pub fn run(&self, command: &str) -> Result<String> {
        Ok(self.vm()?.run(command)?.stdout.trim().to_owned())
    }

    /// Runs a command in the console, whatever its exit code.
    pub fn exec(&self, command: &str) -> Result<Output> {
        Ok(self.vm()?.exec(command)?)
    }

    /// Runs a command that must print exactly this.
    pub fn expect(&self, command: &str, expected: &str) -> Result<()> {
        let output = self.run(command)?;
        ensure!(
            output == expected,
            "`{command}` printed {output:?}, not {expected:?}"
        );
        Ok(())
    }

    /// Waits until a shell condition holds in the guest. The guest's own clock is the limit's.
    pub fn wait_until(&self, condition: &str, seconds: u32) -> Result<()> {
        // The conditions are states of several programs that have no common event.
        let quoted = format!("until {condition}; do sleep 0.3; done").replace('\'', r"'\''");
        let command = format!("timeout {seconds} sh -c '{quoted}'");
        let output = self
            .vm()?
            .exec_within(&command, Duration::from_secs(u64::from(seconds) * 3 + 30))?;
        ensure!(
            output.code == 0,
            "after {seconds} s there still is not: {condition}; {}",
            output.stderr.trim()
        );
        Ok(())
    }

    /// Waits until every service has started.
    pub fn wait_for_services(&self) -> Result<()> {
        // The last one: it follows udev-cold, which has all other work go first and takes longest on a busy host.
        self.wait_until(
            "sudo system-docker ps --format \"{{.Names}}\" | grep -qx udev",
            120,
        )
    }

    /// The running system containers.
    pub fn system_containers(&self) -> Result<BTreeMap<String, Life>> {
        let format = r#"{{.Name}} {{.Id}} {{.State.StartedAt}} {{.State.Pid}}"#;
        let command = format!(
            "sudo system-docker inspect -f '{format}' $(sudo system-docker ps -q --no-trunc)"
        );
        let output = self.run(&command)?;
        output.lines().map(parse_life).collect()
    }

    /// One of the running system containers.
    pub fn system_container(&self, name: &str) -> Result<Life> {
        let mut all = self.system_containers()?;
        all.remove(name)
            .with_context(|| format!("system container {name} does not run"))
    }

    /// Fails when one of the system containers is not the one it was.
    pub fn ensure_untouched(&self, before: &BTreeMap<String, Life>) -> Result<()> {
        let now = self.system_containers()?;
        ensure!(
            now == *before,
            "system containers before: {before:#?}\nand now: {now:#?}"
        );
        Ok(())
    }

    /// Loads the test image into User Docker unless it is there.
    pub fn ensure_busybox(&self) -> Result<()> {
        if self.exec("docker image inspect busybox:test")?.code == 0 {
            return Ok(());
        }
        let archive = coracle_testkit::busybox_archive(&self.project)?;
        self.vm()?.copy_in(&archive, "/tmp/busybox.tar")?;
        self.run("docker load -i /tmp/busybox.tar && rm /tmp/busybox.tar")
            .map(drop)
    }

    /// Asks a web server of the guest, through the host's port, until it answers.
    pub fn http_get(&self, guest_port: u16, path: &str, limit: Duration) -> Result<String> {
        let port = self.vm()?.port(guest_port)?;
        let deadline = Instant::now() + limit;
        loop {
            let answer = http_get_once(port, path);
            match answer {
                Ok(body) => return Ok(body),
                // Nothing tells from outside that a port of the guest has been opened.
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(100))
                }
                Err(error) => {
                    return Err(error)
                        .context(format!("no answer from port {guest_port} of the guest"));
                }
            }
        }
    }
}

fn http_get_once(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("no HTTP answer");
    };
    ensure!(head.contains(" 200 "), "{head}");
    Ok(body.to_owned())
}

fn parse_life(line: &str) -> Result<(String, Life)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, id, started_at, pid] = words[..] else {
        bail!("system-docker inspect printed {line:?}");
    };
    let life = Life {
        id: id.to_owned(),
        started_at: started_at.to_owned(),
        pid: pid.parse()?,
    };
    Ok((name.trim_start_matches('/').to_owned(), life))
}
