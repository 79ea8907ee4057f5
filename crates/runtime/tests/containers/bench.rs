//! A work bench: a bundle with a small root file system, and the steps from it to an exit status.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use coracle_runtime::{
    Create, Exec, Failure, Runtime, capabilities, device_filter, devices, seccomp,
};
use coracle_sys::spawn::{Direct, Launcher as _};
use rustix::mount::{MountFlags, mount};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use serde_json::{Value, json};
use tempfile::TempDir;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Whatever the host uses, here cgroup v2 is where a container engine expects it.
pub fn mount_cgroup2() {
    mount("none", CGROUPS, "cgroup2", MountFlags::empty(), None).expect("cgroup2 can be mounted");
}

pub struct Bench {
    dir: TempDir,
    pub runtime: Runtime,
    pub id: String,
    pub config: Value,
    pub rules: Vec<oci_spec::runtime::LinuxDeviceCgroup>,
}

/// How a process ended, and all that it wrote to stdout and stderr.
#[derive(Debug, Eq, PartialEq)]
pub struct Ended {
    pub code: i32,
    pub output: String,
}

impl Bench {
    /// A container that runs `script` in a shell, configured as dockerd would by default.
    pub fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("bundle");
        make_rootfs(&bundle.join("rootfs"));
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let id = format!(
            "{}{:024}",
            "c".repeat(40),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let config = config(script, &id);
        let runtime = Runtime::new(dir.path().join("state"));
        Self {
            dir,
            runtime,
            id,
            config,
            rules: devices::default_rules(),
        }
    }

    pub fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }

    fn cgroup(&self) -> PathBuf {
        Path::new(CGROUPS).join("coracle-test").join(&self.id)
    }

    pub fn process(&mut self) -> &mut Value {
        &mut self.config["process"]
    }

    /// Makes the container; the result reads its output.
    pub fn create(
        &self,
        console: Option<&Path>,
        listen_fds: Vec<OwnedFd>,
    ) -> Result<(Pid, File), Failure> {
        fs::write(self.bundle().join("config.json"), self.config.to_string()).unwrap();
        fs::create_dir_all(self.cgroup()).unwrap();
        device_filter::attach(&self.cgroup(), &self.rules).unwrap();
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (pid_file, log) = (self.path("pid"), self.path("log"));
        let _ = fs::remove_file(&log);
        let command = self.runtime.create(Create {
            id: &self.id,
            bundle: &self.bundle(),
            pid_file: &pid_file,
            log: &log,
            console_socket: console,
            stdio: [None, Some(write.try_clone().unwrap()), Some(write)],
            listen_fds,
        });
        let wait = Direct.launch(&command).unwrap();
        drop(command);
        let success = wait().unwrap().exit_status() == Some(0);
        let pid = self.runtime.outcome(success, &pid_file, &log)?;
        Ok((pid, File::from(read)))
    }

    /// Creates, starts and waits.
    pub fn run(&self) -> Result<Ended, Failure> {
        let (pid, output) = self.create(None, vec![])?;
        self.runtime.start(&self.id).unwrap();
        Ok(ended(pid, output))
    }

    pub fn exec(&self, process: &Value) -> Result<Ended, Failure> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let stdio = [None, Some(write.try_clone().unwrap()), Some(write)];
        let (pid, ()) = self.add(process, None, stdio, || ())?;
        Ok(ended(pid, File::from(read)))
    }

    /// Adds a process with a terminal; `accept` takes the connection meanwhile.
    pub fn exec_with_console<T>(
        &self,
        process: &Value,
        socket: &Path,
        accept: impl FnOnce() -> T,
    ) -> Result<(Pid, T), Failure> {
        self.add(process, Some(socket), [None, None, None], accept)
    }

    fn add<T>(
        &self,
        process: &Value,
        console_socket: Option<&Path>,
        stdio: [Option<OwnedFd>; 3],
        meanwhile: impl FnOnce() -> T,
    ) -> Result<(Pid, T), Failure> {
        let (file, pid_file, log) = (
            self.path("process.json"),
            self.path("exec-pid"),
            self.path("exec-log"),
        );
        let _ = fs::remove_file(&log);
        fs::write(&file, process.to_string()).unwrap();
        let command = self.runtime.exec(Exec {
            id: &self.id,
            process: &file,
            pid_file: &pid_file,
            log: &log,
            console_socket,
            cgroup: None,
            stdio,
        });
        let wait = Direct.launch(&command).unwrap();
        drop(command);
        let result = meanwhile();
        let success = wait().unwrap().exit_status() == Some(0);
        Ok((self.runtime.outcome(success, &pid_file, &log)?, result))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::write(self.cgroup().join("cgroup.kill"), "1");
        let _ = fs::remove_dir(self.cgroup());
    }
}

pub fn ended(pid: Pid, mut output: File) -> Ended {
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    Ended {
        code: wait(pid),
        output: text,
    }
}

pub fn wait(pid: Pid) -> i32 {
    let code = |status: WaitStatus| {
        status
            .exit_status()
            .or(status.terminating_signal().map(|s| 128 + s))
    };
    waitpid(Some(pid), WaitOptions::empty())
        .unwrap()
        .and_then(|(_, status)| code(status))
        .unwrap()
}

fn make_rootfs(root: &Path) {
    for dir in [
        "bin", "dev", "etc", "proc", "sys", "tmp", "usr", "lib", "lib64", "root",
    ] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in [
        "sh", "cat", "env", "ls", "mknod", "mount", "unshare", "sleep", "grep", "id", "head",
        "yes", "tty", "dd",
    ] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
}

fn config(script: &str, id: &str) -> Value {
    let caps = capabilities::default_set();
    let bind = |path: &str| json!({"destination": path, "source": path, "type": "bind", "options": ["rbind", "ro", "rprivate"]});
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "box",
        "process": {
            "terminal": false, "cwd": "/", "user": {"uid": 0, "gid": 0},
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin", "Z=1", "A=2"],
            "capabilities": capabilities::process_sets(&caps, 0),
            "noNewPrivileges": false,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            bind("/usr"), bind("/lib"), bind("/lib64"),
        ],
        "linux": {
            "cgroupsPath": format!("/coracle-test/{id}"),
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}],
            "seccomp": seccomp::default_profile(&caps),
            "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
        },
    })
}

/// What a container with this script leaves.
pub fn run(script: &str) -> Ended {
    Bench::new(script).run().unwrap()
}
