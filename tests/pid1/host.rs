//! An engine in namespaces of its own.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::busybox;

/// Mounts, then the engine in place of the shell: process 1 of its pid namespace.
const SCRIPT: &str = r#"
set -e
mount -t cgroup2 none /sys/fs/cgroup
exec "$CORACLE" engine --root "$DIR/root" --exec-root "$DIR/run" --socket "$DIR/docker.sock" --cgroup-parent "$GROUP" $OPTIONS \
  $(test -e "$DIR/daemon.json" && echo --config "$DIR/daemon.json") $(test -e "$DIR/bundle" && echo --images "$DIR/bundle")
"#;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A running engine with its directory; both end with the value.
pub struct Host {
    dir: TempDir,
    group: String,
    setup: Setup,
    /// A process in the network namespace that the engine and all commands are in, when that is not the machine's.
    network: Option<Child>,
    process: Child,
    log: Arc<Mutex<String>>,
}

/// What engines of tests differ in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Whether it, and every command of its sessions, is in a network namespace of its own, with nothing but loopback: there every port
    /// is free, and the engine may have a bridge.
    pub own_network: bool,
    /// Further options of `coracle engine`.
    pub options: &'static str,
    /// The engine's `daemon.json`; empty is none.
    pub settings: &'static str,
    /// Whether the system image has the image `coracle/busybox:v1`, in the directory `bundle`.
    pub bundled: bool,
    /// Whether it is a plain process of the machine: then what it has started outlives it when it is killed.
    pub plain: bool,
}

impl Host {
    /// Starts an engine whose store holds `busybox:latest`. `None`, with a reason on standard error, where that is not
    /// possible.
    pub fn start() -> Option<Self> {
        Self::start_as(Setup::default())
    }

    /// As [`Host::start`], set up otherwise.
    pub fn start_as(setup: Setup) -> Option<Self> {
        let host = Self::start_empty_as(setup)?;
        let archive = host.path("busybox.tar");
        busybox::write_archive(&archive)
            .expect("write an image of /bin/busybox (package busybox-static)");
        let loaded = host.shell(&format!("docker load -q -i {}", archive.display()));
        assert_eq!(loaded.0, "Loaded image: busybox:latest\n", "{}", host.log());
        Some(host)
    }

    /// As [`Host::start`], with networks: in a network namespace.
    pub fn start_with_networks() -> Option<Self> {
        Self::start_as(Setup {
            own_network: true,
            ..Setup::default()
        })
    }

    fn start_empty_as(setup: Setup) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: the tests of PID 1 need root");
            return None;
        }
        if !Command::new("docker")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
        {
            eprintln!(
                "SKIPPED: the tests of PID 1 need the docker command line (package docker-cli)"
            );
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("pid1-")
            .tempdir()
            .expect("make a directory");
        if !setup.settings.is_empty() {
            fs::write(dir.path().join("daemon.json"), setup.settings).expect("write daemon.json");
        }
        if setup.bundled {
            busybox::write_bundle(&dir.path().join("bundle"))
                .expect("write an image of /bin/busybox (package busybox-static)");
        }
        let group = format!(
            "/coracle-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let network = setup.own_network.then(network_namespace);
        let (process, log) = launch(dir.path(), &group, setup, network.as_ref());
        Some(Self {
            dir,
            group,
            setup,
            network,
            process,
            log,
        })
    }

    /// Ends the engine (with SIGTERM, or killed) and starts it again on the same directory.
    pub fn restart(&mut self, graceful: bool) {
        self.end(graceful);
        self.revive();
    }

    /// A path in the directory that commands of sessions run in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the engine has said.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The engine's process id in this namespace.
    pub fn pid(&self) -> Pid {
        if self.setup.plain {
            // unshare(1) and sh(1) have become it.
            return Pid::from_child(&self.process);
        }
        let file = format!("/proc/{0}/task/{0}/children", self.process.id());
        let children = fs::read_to_string(file).expect("the engine runs");
        Pid::from_raw(children.trim().parse().expect("one engine")).expect("not zero")
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// Kills the engine as [`Host::restart`] does, without starting it again: see [`Host::revive`].
    pub fn kill(&mut self) {
        self.end(false);
    }

    /// Starts the engine after [`Host::kill`].
    pub fn revive(&mut self) {
        (self.process, self.log) = launch(
            self.dir.path(),
            &self.group,
            self.setup,
            self.network.as_ref(),
        );
    }

    /// What `coracle engine check` finds, in the engine's namespaces.
    pub fn check(&self) -> String {
        let output = Command::new("nsenter")
            .args(["--mount", "--net", "--pid", "--target"])
            .arg(self.pid().to_string())
            .args([
                "--",
                env!("CARGO_BIN_EXE_coracle"),
                "engine",
                "check",
                "--digests",
            ])
            .arg("--root")
            .arg(self.path("root"))
            .arg("--exec-root")
            .arg(self.path("run"))
            .args(["--cgroup-parent", &self.group])
            .output()
            .expect("run nsenter(1)");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Runs a shell command with the docker client pointed at the engine: its output (both streams) and exit code.
    pub fn shell(&self, command: &str) -> (String, i32) {
        // Killed at once: the docker client survives the first two SIGTERM, and would keep the pipe open.
        let output = entering(self.network.as_ref())
            .args([
                "timeout",
                "-s",
                "KILL",
                "60",
                "sh",
                "-c",
                &format!("exec 2>&1; {command}"),
            ])
            .current_dir(self.dir.path())
            .env(
                "DOCKER_HOST",
                format!("unix://{}", self.path("docker.sock").display()),
            )
            .env("HOME", self.dir.path())
            .env("LC_ALL", "C")
            .env("TERM", "dumb")
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null())
            .output()
            .expect("run timeout(1)");
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            output.status.code().unwrap_or(-1),
        )
    }

    /// The answer of the API to `GET`, whatever its status.
    pub fn get(&self, path: &str) -> serde_json::Value {
        self.ask("GET", path)
    }

    /// Replaces the engine by the same one, or by `binary`, and waits until the successor answers.
    pub fn reload(&self, binary: Option<&Path>) {
        let query = binary.map(|binary| format!("?binary={}", binary.display()));
        let path = format!("/coracle/reload{}", query.unwrap_or_default());
        let asked = self.ask("POST", &path);
        assert_eq!(asked["message"], serde_json::Value::Null, "{}", self.log());
        let now = self.get("/coracle/engine");
        assert!(now["Generation"].is_u64(), "{now}");
    }

    /// The answer of the API, whatever its status.
    pub fn ask(&self, method: &str, path: &str) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.path("docker.sock")).expect("connect");
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: d\r\nContent-Length: 0\r\n\r\n"
        )
        .expect("ask");
        let answer = io::read_to_string(stream).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        if body.is_empty() {
            return serde_json::Value::Null;
        }
        serde_json::from_str(body).expect("JSON")
    }

    fn end(&mut self, graceful: bool) {
        let signal = if graceful { Signal::TERM } else { Signal::KILL };
        let _ = kill_process(self.pid(), signal);
        self.process.wait().expect("wait for unshare(1)");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the engine said:\n{}", self.log());
        }
        self.end(true);
        if let Some(network) = &mut self.network {
            let _ = network.kill();
            let _ = network.wait();
        }
        for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            // Wherever the hierarchy is mounted here.
            let _ = fs::remove_dir(format!("{mount}{}", self.group));
        }
    }
}

/// The beginning of a command that is to run in a network namespace.
fn entering(network: Option<&Child>) -> Command {
    let Some(network) = network else {
        return Command::new("env");
    };
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", network.id()));
    command
}

/// A network namespace with a loopback interface, which lasts as long as the process.
fn network_namespace() -> Child {
    let mut child = Command::new("unshare")
        .args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up; echo ready; exec cat",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run unshare(1)");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped"))
        .read_line(&mut line)
        .expect("read from the namespace");
    assert_eq!(
        line, "ready\n",
        "make a network namespace (package iproute2)"
    );
    child
}

fn launch(
    dir: &Path,
    group: &str,
    setup: Setup,
    network: Option<&Child>,
) -> (Child, Arc<Mutex<String>>) {
    // Without a namespace of its own an engine must not touch the machine's network.
    let bridge = if network.is_some() {
        ""
    } else {
        "--bridge none"
    };
    let namespaces: &[&str] = match setup.plain {
        true => &["--mount"],
        false => &["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"],
    };
    let mut process = entering(network)
        .arg("unshare")
        .args(namespaces)
        .args(["sh", "-c", SCRIPT])
        .env("OPTIONS", format!("{bridge} {}", setup.options))
        .env("CORACLE", env!("CARGO_BIN_EXE_coracle"))
        .env("DIR", dir)
        .env("GROUP", group)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run unshare(1)");
    let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
    let log = Arc::new(Mutex::new(String::new()));
    for line in lines.by_ref() {
        let line = line.expect("text");
        let ready = line.contains("System Docker listens on");
        log.lock().unwrap().push_str(&(line + "\n"));
        if ready {
            let rest = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    rest.lock().unwrap().push_str(&(line + "\n"));
                }
            });
            return (process, log);
        }
    }
    process.wait().expect("wait for unshare(1)");
    panic!("the engine did not start:\n{}", log.lock().unwrap());
}
