//! PID 1's side: describing the helper's command, starting containers, reading results.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use coracle_sys::spawn::Command;
use rustix::process::Pid;

use crate::{Error, Failure};

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

    /// The state directory of one container.
    pub fn state_dir(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// The helper's command that creates a container: all is ready except for the `execve` of its first process.
    ///
    /// After it has ended, [`Runtime::outcome`] gives the process id or the failure. The process is then a child of PID
    /// 1 (of the subreaper), waiting for [`Runtime::start`].
    pub fn create(&self, create: Create<'_>) -> Command {
        let _ = create;
        unimplemented!()
    }

    /// The helper's command that starts a process in a running container. When it has ended successfully the process
    /// runs (it may even have ended: take its status from the reaper).
    pub fn exec(&self, exec: Exec<'_>) -> Command {
        let _ = exec;
        unimplemented!()
    }

    /// What a helper that has ended achieved: the id of the process it made, or why there is none.
    ///
    /// `success`: whether the helper ended with exit code 0.
    ///
    /// # Errors
    /// The failure that the helper reported.
    pub fn outcome(&self, success: bool, pid_file: &Path, log: &Path) -> Result<Pid, Failure> {
        let _ = (success, pid_file, log);
        unimplemented!()
    }

    /// Lets a created container's first process execute its program, and notes that in the state file.
    ///
    /// # Errors
    /// When the process is gone, or the state directory is.
    pub fn start(&self, id: &str) -> Result<(), Error> {
        let _ = id;
        unimplemented!()
    }

    /// Removes a container's state directory, once its first process is gone. Removing what is not there is no error.
    ///
    /// # Errors
    /// When the directory cannot be removed.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        let _ = id;
        unimplemented!()
    }
}
