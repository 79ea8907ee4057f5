use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Output, Result, child};

/// The user that Coracle lets in.
pub const GUEST_USER: &str = "rancher";

/// Name of the private key in a machine's directory.
const KEY: &str = "ssh-key";
/// Name of the multiplexing socket in a machine's directory.
const CONTROL: &str = "ssh.sock";
/// QEMU accepts connections for a guest that is not up yet and drops them after a while: try anew after this time.
const BANNER_LIMIT: Duration = Duration::from_secs(4);
/// Between two tries; nothing tells from outside that a guest's port is open.
const PAUSE: Duration = Duration::from_millis(50);

/// Commands in the guest over one shared SSH connection.
#[derive(Debug, Clone)]
pub struct Ssh {
    dir: PathBuf,
    port: u16,
    user: String,
}

impl Ssh {
    /// A connection through a forwarded port, with the key in the machine's directory.
    pub fn new(dir: &Path, port: u16, user: &str) -> Self {
        Self {
            dir: dir.into(),
            port,
            user: user.to_owned(),
        }
    }

    /// Makes the key unless it exists, and returns its public half.
    pub(crate) fn public_key(dir: &Path) -> Result<String> {
        let private = dir.join(KEY);
        let public = dir.join(format!("{KEY}.pub"));
        if !private.exists() || !public.exists() {
            let mut command = Command::new("ssh-keygen");
            command
                .args([
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    "coracle-testkit",
                    "-f",
                ])
                .arg(&private);
            command.stdin(Stdio::null());
            let output = command.output().map_err(missing_client)?;
            if !output.status.success() {
                return Err(Error::Ssh(
                    String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                ));
            }
        }
        let text = fs::read_to_string(&public).map_err(Error::io("read", public))?;
        Ok(text.trim().to_owned())
    }

    /// Waits until the guest's sshd greets, and returns when it did. `fault` tells why waiting on is vain.
    pub(crate) fn wait_for_banner(
        port: u16,
        limit: Duration,
        fault: impl Fn() -> Option<Error>,
    ) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if greets(
                port,
                BANNER_LIMIT.min(deadline.saturating_duration_since(Instant::now())),
            ) {
                return Ok(Instant::now());
            }
            if let Some(error) = fault() {
                return Err(error);
            }
            thread::sleep(PAUSE);
        }
        Err(Error::Timeout {
            what: "the guest's sshd".into(),
            limit,
            context: String::new(),
        })
    }

    /// Opens the shared connection; until the guest has the key, sshd refuses it, so that is tried again until the limit.
    pub(crate) fn connect(&self, limit: Duration, fault: impl Fn() -> Option<Error>) -> Result<()> {
        let deadline = Instant::now() + limit;
        let log_path = self.dir.join("ssh.log");
        loop {
            let log = File::create(&log_path).map_err(Error::io("create", &log_path))?;
            let mut command = self.client();
            command
                .args(["-f", "-N", "-M", "-o", "ControlPersist=yes"])
                .arg(self.target());
            let mut client = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(missing_client)?;
            let ended =
                child::wait_until(&mut client, deadline).map_err(Error::io("wait for", "ssh"))?;
            if !ended {
                // Its end was waited for in vain; there is nothing else to do about it.
                let _ = client.kill();
            }
            let status = client.wait().map_err(Error::io("wait for", "ssh"))?;
            if status.success() {
                return Ok(());
            }
            if let Some(error) = fault() {
                return Err(error);
            }
            if Instant::now() + PAUSE >= deadline {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                return Err(Error::Timeout {
                    what: "an SSH login".into(),
                    limit,
                    context: format!(": {}", log.trim()),
                });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Runs a shell command in the guest, with `input` as its standard input.
    ///
    /// # Errors
    /// The limit is reached or SSH itself fails; any exit code of the command is a success of this function.
    pub fn exec(&self, command: &str, input: Vec<u8>, limit: Duration) -> Result<Output> {
        let mut client = self.client();
        client.arg("-T").arg(self.target()).arg("--").arg(command);
        self.finish(client, command, input, limit)
    }

    /// As [`Ssh::exec`], on a terminal: `docker run -it` and the like refuse to run without one. Standard error comes in `stdout`.
    ///
    /// # Errors
    /// As [`Ssh::exec`].
    pub fn exec_on_terminal(
        &self,
        command: &str,
        input: Vec<u8>,
        limit: Duration,
    ) -> Result<Output> {
        let mut client = self.client();
        client.arg("-tt").arg(self.target()).arg("--").arg(command);
        self.finish(client, command, input, limit)
    }

    fn finish(
        &self,
        client: Command,
        command: &str,
        input: Vec<u8>,
        limit: Duration,
    ) -> Result<Output> {
        let output = child::run_with_deadline(client, input, limit)
            .map_err(missing_client)?
            .ok_or_else(|| Error::Timeout {
                what: format!("the end of `{command}` in the guest"),
                limit,
                context: String::new(),
            })?;
        // 255 is ssh's own; a command's 255 comes without words of ssh.
        if output.code == 255 && is_own_failure(&output.stderr) {
            return Err(Error::Ssh(output.stderr.trim().to_owned()));
        }
        Ok(output)
    }

    /// An interactive client that takes this process's place.
    pub fn interactive(&self, command: &[String]) -> Command {
        let mut client = self.client();
        client.arg(self.target()).args(command);
        client
    }

    /// True while the shared connection is open.
    pub(crate) fn is_connected(&self) -> bool {
        let mut client = self.client();
        client
            .args(["-O", "check"])
            .arg(self.target())
            .stdin(Stdio::null());
        client.output().is_ok_and(|output| output.status.success())
    }

    /// Lets a unix socket `local` of this host lead to one of the guest.
    ///
    /// # Errors
    /// There is no shared connection, or one of the sides refuses.
    pub fn forward_socket(&self, local: &Path, guest: &str) -> Result<()> {
        let local = std::path::absolute(local).map_err(Error::io("resolve", local))?;
        self.forward(&["-L", &format!("{}:{guest}", local.display())])
    }

    /// Lets a port of the guest's loopback address lead to one of this host's.
    ///
    /// # Errors
    /// As [`Ssh::forward_socket`].
    pub fn forward_port_back(&self, guest: u16, host: u16) -> Result<()> {
        self.forward(&["-R", &format!("127.0.0.1:{guest}:127.0.0.1:{host}")])
    }

    fn forward(&self, arguments: &[&str]) -> Result<()> {
        let mut client = self.client();
        client.args(["-O", "forward"]).args(arguments);
        let output = client
            .arg(self.target())
            .stdin(Stdio::null())
            .output()
            .map_err(missing_client)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Ssh(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }

    /// Ends the shared connection, if there is one; after a reboot of the guest it would hang.
    pub fn disconnect(&self) {
        let mut client = self.client();
        client.args(["-O", "exit"]).arg(self.target());
        // No connection is what is wanted.
        let _ = client.stdin(Stdio::null()).output();
        let _ = fs::remove_file(self.dir.join(CONTROL));
    }

    fn target(&self) -> String {
        format!("{}@{}", self.user, Ipv4Addr::LOCALHOST)
    }

    /// The client with the options that all uses share. It runs in the machine's directory, so that socket paths stay short.
    fn client(&self) -> Command {
        let mut command = Command::new("ssh");
        command.current_dir(&self.dir).env("LC_ALL", "C.UTF-8");
        command.args([
            "-F",
            "none",
            "-i",
            KEY,
            "-S",
            CONTROL,
            "-p",
            &self.port.to_string(),
        ]);
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=20",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
            // Host keys are new with every machine, and the port is on this host's loopback.
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=8",
        ] {
            command.args(["-o", option]);
        }
        command
    }
}

fn greets(port: u16, limit: Duration) -> bool {
    let try_it = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(limit.max(PAUSE)))?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting)?;
        // Ends the connection in words, so that sshd does not wait for its login grace time.
        stream.write_all(b"SSH-2.0-probe\r\n")?;
        Ok(&greeting == b"SSH-")
    };
    try_it().unwrap_or(false)
}

fn is_own_failure(stderr: &str) -> bool {
    let words = [
        "ssh: ",
        "Connection ",
        "kex_exchange",
        "Permission denied",
        "mux_client",
        "client_loop",
        "Timeout, server",
    ];
    stderr
        .lines()
        .any(|line| words.iter().any(|word| line.contains(word)))
}

fn missing_client(source: std::io::Error) -> Error {
    Error::MissingProgram {
        program: "ssh",
        package: "openssh-client",
        source,
    }
}
