use std::io;
use std::path::PathBuf;

/// What can go wrong between an archive and a tool that runs.
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
    /// A program of the host is missing.
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
    /// A program of the host ended with an error.
    #[error("`{command}` failed ({status}):\n{stderr}")]
    Program {
        /// The command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// Debian's archive keys are not on this machine.
    #[error("no Debian archive keyring at {}: install it (apt-get install debian-archive-keyring)", .0.display())]
    NoKeyring(PathBuf),
    /// A suite does not have these packages.
    #[error("suite {suite} has no package {}", names.join(", "))]
    UnknownPackages {
        /// The suite's name.
        suite: &'static str,
        /// The missing names.
        names: Vec<String>,
    },
    /// apt's description of a package lacks a field.
    #[error("apt's record of {package} in {suite} has no usable {field}")]
    Record {
        /// The package.
        package: String,
        /// The suite's name.
        suite: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A download did not bring what the package list promises.
    #[error(
        "download of {package} brought no file with SHA-256 {sha256}; run the command again, with fresh package lists if it repeats"
    )]
    NotDownloaded {
        /// The package or source file.
        package: String,
        /// The hash that the signed list names.
        sha256: String,
    },
    /// The toolbox has no such program.
    #[error("the toolbox has no program `{0}`")]
    NoTool(String),
    /// The toolbox has no such file.
    #[error("the toolbox has no file {}", .0.display())]
    NoFile(PathBuf),
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
}
