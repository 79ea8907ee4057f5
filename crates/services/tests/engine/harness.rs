//! An engine of its own for each test.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bollard::query_parameters::ImportImageOptionsBuilder;
use coracle_services::{Engine, Engines, Kind};
use coracle_testkit::{Project, busybox_archive};
use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};

/// A machine that is a directory and an engine.
pub struct Machine {
    /// Its root.
    pub dir: tempfile::TempDir,
    /// The engine's socket.
    pub socket: PathBuf,
    /// The engine as System Docker; there is no User Docker.
    pub engines: Engines,
    _engine: Option<Process>,
}

/// A machine with an engine that has the image `busybox:test` and no containers of services; `None`, with the reason printed,
/// when that cannot be had here.
pub async fn machine(name: &str) -> Option<Machine> {
    let skip = |why: &str| {
        println!("skipped: {why}");
        None
    };
    let dir = tempfile::Builder::new()
        .prefix(&format!("services-{name}-"))
        .tempdir()
        .unwrap();
    let (socket, process) = match std::env::var_os("CORACLE_TEST_SOCKET") {
        Some(socket) => (PathBuf::from(socket), None),
        None if !rustix::process::geteuid().is_root() => return skip("needs root"),
        None => match Process::start(dir.path()) {
            Ok((socket, process)) => (socket, Some(process)),
            Err(why) => return skip(&why),
        },
    };
    let archive = match busybox_archive(&Project::here()) {
        Ok(archive) => archive,
        Err(why) => return skip(&format!("no test image: {why}")),
    };
    let engine = Engine::at(Kind::System, &socket).unwrap();
    let bytes = bytes::Bytes::from(fs::read(archive).unwrap());
    let whole = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes)]);
    let options = ImportImageOptionsBuilder::default().build();
    let mut said = Box::pin(engine.docker().import_image_stream(options, whole, None));
    while let Some(line) = said.next().await {
        line.unwrap();
    }
    for container in engine.service_containers().await.unwrap() {
        engine.remove(&container.id.unwrap(), true).await.unwrap();
    }
    Some(Machine {
        socket: socket.clone(),
        engines: Engines::at(&socket, dir.path().join("no-user-docker.sock")),
        dir,
        _engine: process,
    })
}

/// Writes the test image under another name, packed by xz, to `path`.
pub fn renamed_image(name: &str, path: &Path) {
    let archive = fs::read(busybox_archive(&Project::here()).unwrap()).unwrap();
    let mut old = tar::Archive::new(&archive[..]);
    let mut new = tar::Builder::new(Vec::new());
    for entry in old.entries().unwrap() {
        let mut entry = entry.unwrap();
        let entry_path = entry.path().unwrap().into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        if entry_path == Path::new("manifest.json") {
            content = String::from_utf8(content)
                .unwrap()
                .replace("busybox:test", name)
                .into_bytes();
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        new.append_data(&mut header, entry_path, &content[..])
            .unwrap();
    }
    let plain = path.with_extension("");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&plain, new.into_inner().unwrap()).unwrap();
    let packed = Command::new("xz").arg(&plain).status();
    assert!(
        packed.is_ok_and(|s| s.success()),
        "xz is needed for this test"
    );
}

/// Coracle's engine in a mount, PID and network namespace; it ends with the test.
struct Process {
    child: Child,
    /// Of its own: an engine that starts empties the one of its predecessor.
    group: String,
}

impl Process {
    fn start(dir: &Path) -> Result<(PathBuf, Self), String> {
        let test = std::env::current_exe().map_err(|e| e.to_string())?;
        // target/debug/deps/engine-… → target/debug/coracle
        let binary = test
            .ancestors()
            .nth(2)
            .unwrap_or(Path::new("/"))
            .join("coracle");
        if !binary.exists() {
            return Err(format!(
                "{} is not built; cargo build -p coracle",
                binary.display()
            ));
        }
        let socket = dir.join("engine.sock");
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let group = format!("/coracle-{name}");
        let log = fs::File::create(dir.join("engine.log")).map_err(|e| e.to_string())?;
        // The engine wants cgroup v2, which this machine may have somewhere else; its own mount shows it at the usual place.
        let script = "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--pid",
                "--net",
                "--fork",
                "--mount-proc",
                "--kill-child",
            ])
            .args(["sh", "-c", script, "sh"])
            .arg(&binary)
            .args(["engine", "--root"])
            .arg(dir.join("engine"))
            .arg("--exec-root")
            .arg(dir.join("run"))
            .arg("--socket")
            .arg(&socket)
            .args(["--cgroup-parent", &group])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|e| e.to_string())?)
            .stderr(log)
            .process_group(0);
        let child = command.spawn().map_err(|e| format!("unshare: {e}"))?;
        let mut process = Self { child, group };
        let deadline = Instant::now() + Duration::from_secs(20);
        // The socket's appearance is the event; nothing else tells a stranger that it is there.
        while !socket.exists() {
            let ended = process.child.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(dir.join("engine.log")).unwrap_or_default();
                return Err(format!("the engine does not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok((socket, process))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The engine's end is that of its PID namespace, and so of its containers; unshare waits for it. A test has nothing to save.
        let unshare = self.child.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        let engine = children.ok().and_then(|pid| pid.trim().parse().ok());
        match engine.and_then(Pid::from_raw) {
            Some(engine) => drop(kill_process(engine, Signal::KILL)),
            None => drop(self.child.kill()),
        }
        let _ = self.child.wait();
        for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            // Wherever the hierarchy is mounted here.
            let group = format!("{mount}{}", self.group);
            for container in fs::read_dir(&group).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(container.path());
            }
            let _ = fs::remove_dir(group);
        }
    }
}
