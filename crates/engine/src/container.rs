//! One container in memory.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::process::Pid;
use tokio::sync::watch;

use crate::disk::{self, Durability};
use crate::error::Result;
use crate::log_options::LogFile;
use crate::logs::Log;
use crate::pump::Brake;
use crate::record::{Record, State, Status};
use crate::restart::Backoff;
use crate::streams::Streams;

/// File of the [`Record`] in a container's directory.
pub const RECORD_FILE: &str = "container.json";
/// File of the [`State`].
pub const STATE_FILE: &str = "state.json";

/// A container. Shared by everybody who deals with it.
///
/// Two locks: `operation` is held (across awaits) while the container is started, taken down after its end, renamed or
/// removed, so that these never mix; `data` is held for moments only.
#[derive(Debug)]
pub struct Container {
    id: String,
    dir: PathBuf,
    pub(crate) operation: tokio::sync::Mutex<()>,
    data: Mutex<Data>,
    progress: watch::Sender<Progress>,
}

/// What changes about a container.
#[derive(Debug)]
pub struct Data {
    /// Its configuration.
    pub record: Record,
    /// Its state as on disk.
    pub state: State,
    pub(crate) running: Option<Running>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) log: Option<Arc<Log>>,
    pub(crate) backoff: Backoff,
    /// Wakes the task that waits before a restart, to call it off.
    pub(crate) restart_cancel: Option<tokio::sync::oneshot::Sender<()>>,
    /// When that restart is to happen.
    pub(crate) restart_due: Option<Instant>,
    /// While it exists, a task probes the container's health.
    pub(crate) probing: Option<tokio::sync::oneshot::Sender<()>>,
    /// When the next probe is to be.
    pub(crate) probe_due: Option<Instant>,
    /// Number of the watch on its memory events.
    pub(crate) oom_watch: Option<i32>,
    /// How often the kernel has killed something in this run for lack of memory, as far as that was told.
    pub(crate) oom_kills: u64,
    /// Somebody removes it.
    pub(crate) removing: bool,
    /// Rows and columns asked for before there was a terminal.
    pub(crate) terminal_size: Option<(u16, u16)>,
    /// Ids of its exec instances.
    pub(crate) execs: Vec<String>,
}

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Running {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// The terminal, for its size.
    pub terminal: Option<OwnedFd>,
    pub since: Instant,
    /// Takes its streams back from those who serve them.
    pub brake: Option<Brake>,
    /// Whose root it uses.
    pub root_of: String,
}

/// What clients wait for.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Runs that have ended, and starts that have failed.
    pub exits: u64,
    /// Whether it is active (see [`Status::is_active`]).
    pub active: bool,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// Why the last start failed.
    pub error: String,
    /// It exists no more.
    pub removed: bool,
}

impl Container {
    /// A container whose files are in `dir`.
    pub fn new(dir: PathBuf, record: Record, state: State) -> Self {
        let progress = Progress {
            exit_code: state.exit_code,
            ..Progress::default()
        };
        Self {
            id: record.id.clone(),
            dir,
            operation: tokio::sync::Mutex::default(),
            data: Mutex::new(Data {
                record,
                state,
                running: None,
                streams: Arc::default(),
                log: None,
                backoff: Backoff::default(),
                restart_cancel: None,
                restart_due: None,
                probing: None,
                probe_due: None,
                oom_watch: None,
                oom_kills: 0,
                removing: false,
                terminal_size: None,
                execs: Vec::new(),
            }),
            progress: watch::channel(progress).0,
        }
    }

    /// Reads a container's files.
    ///
    /// # Errors
    /// When the record is missing or damaged. A damaged state counts as "ended, nobody knows how".
    pub fn load(dir: PathBuf) -> Result<Self> {
        let record = disk::read_json(&dir.join(RECORD_FILE))?;
        let state = disk::read_json(&dir.join(STATE_FILE)).unwrap_or_else(|error| {
            tracing::warn!("{error}; the container counts as ended");
            State {
                status: Status::Exited,
                exit_code: 255,
                ..State::default()
            }
        });
        Ok(Self::new(dir, record, state))
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its directory on disk.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// One of its log files.
    pub(crate) fn log_file(&self, file: LogFile) -> PathBuf {
        match file {
            LogFile::Json => self.dir.join(format!("{}-json.log", self.id)),
            LogFile::Local => self.dir.join("local-logs/container.log"),
            LogFile::Cache => self.dir.join("container-cached.log"),
        }
    }

    /// The log file that clients may read themselves (API: `LogPath`): that of `json-file`.
    pub fn log_path(&self) -> Option<PathBuf> {
        let data = self.data();
        let driver = data.record.host_config.log_config.as_ref();
        let driver = driver.and_then(|config| config.typ.as_deref());
        matches!(driver, None | Some("" | "json-file")).then(|| self.log_file(LogFile::Json))
    }

    /// What changes about it. Hold the result for moments, never across an await.
    pub fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name without slash.
    pub fn name(&self) -> String {
        self.data().record.name.clone()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_record(&self) -> Result<()> {
        let record = self.data().record.clone();
        disk::write_json(&self.dir.join(RECORD_FILE), &record, Durability::Synced)
    }

    /// Writes the state; a failure is reported in the log only, because the container goes on all the same.
    pub fn save_state(&self) {
        let data = self.data();
        // Under the lock, so that an older state never replaces a newer one. A removed container has no directory.
        if !self.progress.borrow().removed
            && let Err(error) =
                disk::write_json(&self.dir.join(STATE_FILE), &data.state, Durability::Ordered)
        {
            tracing::error!("{error}");
        }
    }

    /// What to wait on. Take it before the action whose effect is awaited.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn announce(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Whether Docker would call it running.
    pub fn is_active(&self) -> bool {
        self.data().state.status.is_active()
    }

    /// Names of its files that are mounted over those of the image.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// A container at one moment, for showing.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its configuration.
    pub record: Record,
    /// Its state.
    pub state: State,
    /// Ids of its running exec instances.
    pub execs: Vec<String>,
}

impl Container {
    /// What it is now.
    pub fn snapshot(&self) -> Snapshot {
        let data = self.data();
        Snapshot {
            record: data.record.clone(),
            state: data.state.clone(),
            execs: data.execs.clone(),
        }
    }
}
