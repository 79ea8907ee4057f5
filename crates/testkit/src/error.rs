use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::KernelFailure;

/// What can go wrong with a virtual machine, seen from the host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file that the build makes is not there.
    #[error("no {}: build it first with `cargo xtask image`", .0.display())]
    NotBuilt(PathBuf),
    /// A file named by the user is not there.
    #[error("no file {}", .0.display())]
    NoFile(PathBuf),
    /// The toolbox has no QEMU or the like.
    #[error(transparent)]
    Toolbox(#[from] coracle_toolbox::Error),
    /// A program of the host cannot be started.
    #[error(
        "cannot run `{program}`: {source}; install it (Debian, Ubuntu: apt-get install {package})"
    )]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A tool ended with an error.
    #[error("`{program}` failed ({status}): {stderr}")]
    Program {
        /// The tool.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// QEMU ended before or while it was needed.
    #[error("QEMU ended: {stderr}")]
    QemuEnded {
        /// What it wrote to standard error, or the end of the serial log when it was silent.
        stderr: String,
    },
    /// QEMU refused a command or answered with something else.
    #[error("QEMU refused `{command}`: {message}")]
    Qmp {
        /// The QMP command.
        command: String,
        /// QEMU's words.
        message: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not come within {} s{context}", limit.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// The end of the console or the last error, introduced by a line break, or empty.
        context: String,
    },
    /// The guest's kernel panicked or hangs.
    #[error("the guest's kernel failed: {0}")]
    KernelFailure(KernelFailure),
    /// A command in the guest ended with an unexpected exit code.
    #[error(
        "`{command}` in the guest ended with exit code {code}\nstdout: {stdout}\nstderr: {stderr}"
    )]
    Command {
        /// The shell command.
        command: String,
        /// Its exit code.
        code: i32,
        /// Its standard output.
        stdout: String,
        /// Its standard error.
        stderr: String,
    },
    /// SSH itself failed, not the command that it should run.
    #[error("ssh to the guest failed: {0}")]
    Ssh(String),
    /// The machine has no SSH port forwarded.
    #[error("port {0} of the guest is not forwarded: start the VM with `--port HOST:{0}`")]
    NotForwarded(u16),
    /// No machine of that name runs.
    #[error("no VM `{0}` is running: start it with `cargo xtask vm start --name {0}`")]
    NotRunning(String),
    /// A machine of that name runs already.
    #[error(
        "VM `{0}` is already running: stop it with `cargo xtask vm stop --name {0}`, or choose another --name"
    )]
    AlreadyRunning(String),
    /// A name that cannot be a directory.
    #[error(
        "`{0}` cannot be the name of a VM: use letters, digits, `-`, `_` and `.`, starting with a letter or digit"
    )]
    BadName(String),
    /// A port forwarding that cannot be understood.
    #[error(
        "`{0}` is not a port forwarding: write HOST:GUEST, for example 8080:80 (host port 0 takes a free one)"
    )]
    BadForward(String),
    /// KVM was asked for but cannot run a guest.
    #[error("KVM cannot run a guest on this machine ({0}); leave CORACLE_ACCEL unset to emulate")]
    NoKvm(String),
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// True for the end of a guest's kernel that the emulator, not Coracle, is to blame for: worth one more try.
    pub fn is_emulator_fault(&self) -> bool {
        matches!(self, Self::KernelFailure(failure) if !failure.init_died())
    }
}
