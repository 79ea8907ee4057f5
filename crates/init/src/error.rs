//! What can go wrong before and around System Docker.

use std::io;
use std::path::{Path, PathBuf};

/// Why a phase of the boot failed. The text is what the person at the console reads.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A mount failed.
    #[error("cannot mount {what} on {target}: {source}")]
    Mount {
        /// File system and source.
        what: String,
        /// Mount point.
        target: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There are no modules for this kernel.
    #[error(
        "no modules for kernel {release} in /usr/lib/modules or /lib/modules; kernel and initrd are of different builds"
    )]
    NoModules {
        /// `uname -r`.
        release: String,
    },
    /// No module has this name or alias.
    #[error("no kernel module {name}")]
    UnknownModule {
        /// The name.
        name: String,
    },
    /// A module was refused before.
    #[error("kernel module {name} could not be loaded")]
    ModuleFailed {
        /// The name.
        name: String,
    },
    /// The kernel refused a module.
    #[error("cannot load kernel module {path}: {source}; the kernel log (dmesg) says why")]
    LoadModule {
        /// The module's file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel gives no announcements of devices.
    #[error("cannot listen for devices: {source}")]
    Announcements {
        /// The kernel's answer.
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start thread {name}: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A phase ran without the one before it.
    #[error("internal error: phase \"{needs}\" has not run")]
    OutOfOrder {
        /// The missing one.
        needs: &'static str,
    },
    /// System Docker cannot start.
    #[error("System Docker cannot start: {text}")]
    Engine {
        /// The engine's own words.
        text: String,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals: {source}")]
    Signals {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A device is named wrongly, or a disk cannot be read.
    #[error(transparent)]
    Disk(#[from] coracle_disk::Error),
    /// What a datasource gave could not be kept.
    #[error(transparent)]
    Datasource(#[from] coracle_datasource::Error),
    /// The state partition is not there.
    #[error("rancher.state.dev={device}: no such device; there are: {seen}")]
    NoState {
        /// As configured.
        device: String,
        /// All disks.
        seen: String,
    },
    /// The state partition is there but holds no file system.
    #[error("the state partition {device} cannot be mounted: it holds {holds}")]
    NotMountable {
        /// Its node.
        device: String,
        /// What was recognised.
        holds: String,
    },
    /// Making a file system failed.
    #[error("cannot format {device}: mkfs.ext4: {output}")]
    Format {
        /// Its node.
        device: String,
        /// Status and messages.
        output: String,
    },
    /// Checking a file system found damage.
    #[error(
        "the file system on {device} is damaged; repair it by \"e2fsck {device}\" in a shell. e2fsck -p: {output}"
    )]
    Check {
        /// Its node.
        device: String,
        /// Status and messages.
        output: String,
    },
    /// A program of the system image could not be run.
    #[error("cannot run {program} of the system image: {source}")]
    Tool {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refuses the host name.
    #[error(
        "cannot set the host name to {name:?}: {source}; it may have up to 64 letters, digits, dots and hyphens"
    )]
    HostName {
        /// As configured.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A controller is missing.
    #[error(
        "control groups have no {name} controller; remove cgroup_disable and cgroup v1 parameters from the kernel command line"
    )]
    NoController {
        /// Its name.
        name: &'static str,
    },
    /// `system.erofs` did not appear.
    #[error(
        "system.erofs ({wanted}) was not found; attach the medium that this kernel was started from, or write it again. Seen:\n{seen}"
    )]
    NoSystem {
        /// UUID or label.
        wanted: String,
        /// Every disk and why it was not taken.
        seen: String,
    },
    /// `system.erofs` is there but cannot be used.
    #[error("system.erofs is damaged: {path}: {source}; write the medium again")]
    DamagedSystem {
        /// What could not be read.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err` after an operation on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Like [`Error::io`], for errors of rustix.
    pub(crate) fn errno(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.to_owned();
        move |errno| Self::Io {
            action,
            path,
            source: errno.into(),
        }
    }
}
