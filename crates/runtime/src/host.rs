//! PID 1's side: describing the helper's command, starting containers, reading results.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use coracle_sys::spawn::Command;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use serde_json::Value;

use crate::helper::{BUNDLES, FILTERS};
use crate::{Error, Failure, FailureKind};

/// Socket in a container's state directory on which its first process waits (libcontainer).
const NOTIFY_SOCKET: &str = "notify.sock";
/// State file in a container's state directory (OCI runtime specification, "State").
const STATE_FILE: &str = "state.json";

/// The runtime's state directory (`/run/system-docker/runtime`), and what can be done with it from PID 1.
#[derive(Clone, Debug)]
pub struct Runtime {
    root: PathBuf,
}

/// A container to be created from a bundle.
#[derive(Debug)]
pub struct Create<'a> {
    /// Container id; also the name of its state directory.
    pub id: &'a str,
    /// Directory with `config.json`.
    pub bundle: &'a Path,
    /// The helper writes the first process's id here, in PID 1's pid namespace.
    pub pid_file: &'a Path,
    /// The helper writes its log, and last its failure, here: read by [`Runtime::outcome`].
    pub log: &'a Path,
    /// Listening unix socket that gets the pty's master; needed exactly when `process.terminal` is true.
    pub console_socket: Option<&'a Path>,
    /// The container's stdin, stdout and stderr; `None` is `/dev/null`.
    pub stdio: [Option<OwnedFd>; 3],
    /// Further descriptors, which become 3, 4, … of the container's process.
    ///
    /// With `LISTEN_FDS` in the process's environment `LISTEN_PID` is added to it (sd_listen_fds(3)).
    pub listen_fds: Vec<OwnedFd>,
}

/// A process to be added to a running container.
#[derive(Debug)]
pub struct Exec<'a> {
    /// Container id.
    pub id: &'a str,
    /// File with the OCI `process` object.
    pub process: &'a Path,
    /// The helper writes the new process's id here, in PID 1's pid namespace.
    pub pid_file: &'a Path,
    /// The helper writes its log, and last its failure, here: read by [`Runtime::outcome`].
    pub log: &'a Path,
    /// Listening unix socket that gets the pty's master; needed exactly when `terminal` is true.
    pub console_socket: Option<&'a Path>,
    /// Sub-group of the container's control group to run in.
    pub cgroup: Option<&'a Path>,
    /// The process's stdin, stdout and stderr; `None` is `/dev/null`.
    pub stdio: [Option<OwnedFd>; 3],
}

impl Runtime {
    /// Uses `root` as state directory; it is made when the first container is.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Forgets the compiled system call filters: another version may compile them otherwise. Those of containers stay.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget_filters(&self) -> Result<(), Error> {
        remove_directory(&self.root.join(FILTERS))
    }

    /// The state directory of one container.
    pub fn state_dir(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// The helper's command that creates a container: all is ready except for the `execve` of its first process.
    ///
    /// After it has ended, [`Runtime::outcome`] gives the process id or the failure. The process is then a child of
    /// PID 1 (of the subreaper), waiting for [`Runtime::start`].
    pub fn create(&self, create: Create<'_>) -> Command {
        let mut command = self.helper("create").arg("--bundle").arg(create.bundle);
        command = results(command, create.pid_file, create.log, create.console_socket);
        if !create.listen_fds.is_empty() {
            command = command
                .arg("--preserve-fds")
                .arg(create.listen_fds.len().to_string());
        }
        command = give(command.arg(create.id), create.stdio);
        for (fd, number) in create.listen_fds.into_iter().zip(3 as RawFd..) {
            command = command.fd(fd, number);
        }
        command
    }

    /// The helper's command that starts a process in a running container. When it has ended successfully the process
    /// runs (it may even have ended: take its status from the reaper).
    pub fn exec(&self, exec: Exec<'_>) -> Command {
        let mut command = self.helper("exec").arg("--process").arg(exec.process);
        command = results(command, exec.pid_file, exec.log, exec.console_socket);
        if let Some(cgroup) = exec.cgroup {
            command = command.arg("--cgroup").arg(cgroup);
        }
        give(command.arg(exec.id), exec.stdio)
    }

    fn helper(&self, command: &str) -> Command {
        Command::new("/proc/self/exe")
            .with_parent()
            .arg0("coracle")
            .args(["runtime", command])
            .arg("--root")
            .arg(&self.root)
    }

    /// What a helper that has ended achieved: the id of the process it made, or why there is none.
    ///
    /// `success`: whether the helper ended with exit code 0.
    ///
    /// # Errors
    /// The failure that the helper reported.
    pub fn outcome(&self, success: bool, pid_file: &Path, log: &Path) -> Result<Pid, Failure> {
        if !success {
            return Err(Failure::read(log));
        }
        let text = fs::read_to_string(pid_file);
        let pid = text
            .as_deref()
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .and_then(Pid::from_raw);
        pid.ok_or_else(|| Failure {
            kind: FailureKind::Other,
            message: format!(
                "the runtime helper wrote no process id to {}",
                pid_file.display()
            ),
        })
    }

    /// Lets a created container's first process execute its program, and notes that in the state file.
    ///
    /// # Errors
    /// When the process is gone, or the state directory is.
    pub fn start(&self, id: &str) -> Result<(), Error> {
        let directory = self.state_dir(id);
        let socket = directory.join(NOTIFY_SOCKET);
        notify(&directory).map_err(Error::io("connect to", &socket))?;
        // Without this, libcontainer refuses to add processes.
        mark_running(&directory.join(STATE_FILE))
    }

    /// Removes a container's state directory, once its first process is gone. Removing what is not there is no error.
    ///
    /// # Errors
    /// When the directory cannot be removed.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        remove_directory(&self.state_dir(id))?;
        remove_directory(&self.root.join(BUNDLES).join(id))
    }
}

fn remove_directory(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", directory)(error))
        }
        _ => Ok(()),
    }
}

fn results(command: Command, pid_file: &Path, log: &Path, console: Option<&Path>) -> Command {
    let command = command
        .arg("--pid-file")
        .arg(pid_file)
        .arg("--log")
        .arg(log);
    match console {
        Some(socket) => command.arg("--console-socket").arg(socket),
        None => command,
    }
}

fn give(mut command: Command, stdio: [Option<OwnedFd>; 3]) -> Command {
    for (fd, number) in stdio.into_iter().zip(0 as RawFd..) {
        if let Some(fd) = fd {
            command = command.fd(fd, number);
        }
    }
    command
}

/// The path of the socket may be longer than a socket address holds (108 bytes): go through the directory's
/// descriptor.
fn notify(directory: &Path) -> io::Result<()> {
    let directory = rustix::fs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut stream = UnixStream::connect(format!(
        "/proc/self/fd/{}/{NOTIFY_SOCKET}",
        directory.as_raw_fd()
    ))?;
    stream.write_all(b"start container")
}

fn mark_running(path: &Path) -> Result<(), Error> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let malformed = |reason: String| Error::Malformed {
        path: path.to_owned(),
        reason,
    };
    let mut state: Value =
        serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let object = state
        .as_object_mut()
        .ok_or_else(|| malformed("not an object".to_owned()))?;
    object.insert("status".to_owned(), Value::from("running"));
    let temporary = path.with_extension("json.new");
    fs::write(&temporary, state.to_string()).map_err(Error::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::io("replace", path))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn helper_command_lines() {
        let runtime = Runtime::new("/run/r");
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let create = runtime.create(Create {
            id: "abc",
            bundle: "/b".as_ref(),
            pid_file: "/p".as_ref(),
            log: "/l".as_ref(),
            console_socket: Some("/c".as_ref()),
            stdio: [None, Some(null()), None],
            listen_fds: vec![null(), null()],
        });
        assert_eq!(create.program(), Path::new("/proc/self/exe"));
        let words = |command: &Command| {
            command
                .arguments()
                .join(" ".as_ref())
                .into_string()
                .unwrap()
        };
        assert_eq!(
            words(&create),
            "coracle runtime create --root /run/r --bundle /b --pid-file /p --log /l --console-socket /c \
             --preserve-fds 2 abc"
        );
        let exec = runtime.exec(Exec {
            id: "abc",
            process: "/j".as_ref(),
            pid_file: "/p".as_ref(),
            log: "/l".as_ref(),
            console_socket: None,
            cgroup: Some("sub".as_ref()),
            stdio: [None, None, None],
        });
        assert_eq!(
            words(&exec),
            "coracle runtime exec --root /run/r --process /j --pid-file /p --log /l --cgroup sub abc"
        );
    }

    #[test]
    fn start_wakes_the_process_through_a_long_path_and_notes_it() {
        let dir = tempfile::tempdir().unwrap();
        let id = "f".repeat(64);
        let root = dir.path().join("x".repeat(60));
        let state = root.join(&id);
        fs::create_dir_all(&state).unwrap();
        fs::write(
            state.join(STATE_FILE),
            r#"{"id":"f","status":"created","pid":7}"#,
        )
        .unwrap();
        let handle = rustix::fs::open(&state, OFlags::PATH, Mode::empty()).unwrap();
        let listener = UnixListener::bind(format!(
            "/proc/self/fd/{}/{NOTIFY_SOCKET}",
            handle.as_raw_fd()
        ))
        .unwrap();
        Runtime::new(&root).start(&id).unwrap();
        let mut text = String::new();
        listener
            .accept()
            .unwrap()
            .0
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "start container");
        let noted = fs::read_to_string(state.join(STATE_FILE)).unwrap();
        assert_eq!(noted, r#"{"id":"f","status":"running","pid":7}"#);
        Runtime::new(&root).delete(&id).unwrap();
        Runtime::new(&root).delete(&id).unwrap();
        assert!(!state.exists());
    }

    #[test]
    fn outcome_is_the_process_or_the_reported_failure() {
        let dir = tempfile::tempdir().unwrap();
        let (pid, log) = (dir.path().join("pid"), dir.path().join("log"));
        let runtime = Runtime::new("/r");
        fs::write(&pid, "42").unwrap();
        assert_eq!(runtime.outcome(true, &pid, &log).unwrap().as_raw_pid(), 42);
        fs::write(&pid, "").unwrap();
        assert!(
            runtime
                .outcome(true, &pid, &log)
                .unwrap_err()
                .message
                .contains("wrote no process id")
        );
        fs::write(
            &log,
            r#"{"failure":{"kind":"not-executable","message":"m"}}"#,
        )
        .unwrap();
        assert_eq!(
            runtime.outcome(false, &pid, &log).unwrap_err().exit_code(),
            126
        );
    }
}
