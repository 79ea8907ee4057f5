//! The one place that waits for children (design rule 2).
//!
//! As PID 1, or as a subreaper, this process is the parent of helpers, of every container's first process and of
//! whatever they leave behind. SIGCHLD wakes one task which collects everything that has ended. Who started or adopted a
//! process gets its status through a channel; the others are discarded.
//!
//! A container's process is made by a helper, so its id is known only after the helper has reported it, and by then it
//! may have ended. While an [`Expecting`] exists, statuses of unknown processes are therefore kept.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use coracle_sys::spawn::{Command, Launcher, Wait};
use jiff::Timestamp;
use rustix::process::{Pid, WaitOptions, WaitStatus, set_child_subreaper, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::work::{Task, Work};

/// How and when a process ended.
#[derive(Debug)]
pub struct Exit {
    /// What `waitpid(2)` said.
    pub status: WaitStatus,
    /// When the reaper saw it.
    pub at: Timestamp,
    /// The kernel has forgotten the process: until its end is dealt with, that is work in progress.
    _task: Task,
}

impl Exit {
    /// The exit code as shells and Docker count: 128 plus the number of the signal that killed the process.
    pub fn code(&self) -> i64 {
        match (self.status.exit_status(), self.status.terminating_signal()) {
            (Some(code), _) => i64::from(code),
            (None, Some(number)) => 128 + i64::from(number),
            (None, None) => 255,
        }
    }
}

/// A process that will end some day.
#[derive(Debug)]
pub struct Child {
    /// Its id. It cannot be reused before `exit` has a value.
    pub pid: Pid,
    /// Gets the status.
    pub exit: oneshot::Receiver<Exit>,
}

/// Owner of SIGCHLD and of the table of children.
#[derive(Debug, Default)]
pub struct Reaper {
    table: Mutex<Table>,
    work: Work,
}

#[derive(Debug, Default)]
struct Table {
    waiting: HashMap<i32, oneshot::Sender<Exit>>,
    /// Statuses of processes nobody has asked for yet.
    early: HashMap<i32, Exit>,
    /// How many [`Expecting`] there are.
    expecting: usize,
}

impl Reaper {
    /// Takes over the children of this process. There can be only one reaper in a process.
    ///
    /// # Errors
    /// When the process cannot become a subreaper, or the signal cannot be caught.
    pub fn start() -> io::Result<Arc<Self>> {
        Self::start_later().map(|(reaper, _)| reaper)
    }

    /// As [`Reaper::start`], where there may be children already: nothing is collected until the second value is dropped, so
    /// that they can be looked at and adopted.
    ///
    /// # Errors
    /// Those of [`Reaper::start`].
    pub fn start_later() -> io::Result<(Arc<Self>, oneshot::Sender<()>)> {
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let mut child_ended = signal(SignalKind::child())?;
        let reaper = Arc::new(Self::default());
        let (go, gone) = oneshot::channel::<()>();
        let collector = Arc::clone(&reaper);
        tokio::spawn(async move {
            // That it is dropped is the sign.
            let _ = gone.await;
            loop {
                collector.collect();
                if child_ended.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok((reaper, go))
    }

    /// The work of the engine whose children these are.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Starts a process.
    ///
    /// # Errors
    /// Those of `posix_spawn(3)`.
    pub fn spawn(&self, command: &Command) -> io::Result<Child> {
        // Held during the spawn, so that the status cannot be collected before the process is in the table.
        let mut table = self.table();
        let pid = command.spawn()?;
        let (sender, exit) = oneshot::channel();
        table.waiting.insert(pid.as_raw_nonzero().get(), sender);
        Ok(Child { pid, exit })
    }

    /// Makes the reaper keep the statuses of unknown processes until the result is dropped.
    pub fn expect(self: &Arc<Self>) -> Expecting {
        self.table().expecting += 1;
        Expecting(Arc::clone(self))
    }

    fn collect(&self) {
        let mut table = self.table();
        // When the engine hands over, what ends waits in the kernel for its successor.
        while let Some(task) = self.work.try_begin("the end of a process")
            && let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG)
        {
            let exit = Exit {
                status,
                at: Timestamp::now(),
                _task: task,
            };
            let pid = pid.as_raw_nonzero().get();
            match table.waiting.remove(&pid) {
                // The receiver may have lost interest.
                Some(sender) => drop(sender.send(exit)),
                None if table.expecting > 0 => drop(table.early.insert(pid, exit)),
                None => {}
            }
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While this exists, no status of a process that a helper left behind is lost.
#[derive(Debug)]
pub struct Expecting(Arc<Reaper>);

impl Expecting {
    /// Registers a process that became our child because its parent, a helper, ended.
    pub fn adopt(&self, pid: Pid) -> Child {
        let mut table = self.0.table();
        let (sender, exit) = oneshot::channel();
        let raw = pid.as_raw_nonzero().get();
        match table.early.remove(&raw) {
            // The receiver is in hand: this cannot fail.
            Some(early) => drop(sender.send(early)),
            None => drop(table.waiting.insert(raw, sender)),
        }
        Child { pid, exit }
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        let mut table = self.0.table();
        table.expecting -= 1;
        if table.expecting == 0 {
            table.early = HashMap::new();
        }
    }
}

impl Launcher for Reaper {
    fn launch(&self, command: &Command) -> io::Result<Wait> {
        let child = self.spawn(command)?;
        Ok(Box::new(move || {
            let exit = child
                .exit
                .blocking_recv()
                .map_err(|_| io::Error::other("the reaper has ended"))?;
            Ok(exit.status)
        }))
    }
}
