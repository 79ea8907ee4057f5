//! Finding devices: drivers for what is there (cold-plugging) and for what comes later, and waiting for disks without polling.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::Error;
use crate::modules::Loader;
use crate::uevent::{Listener, Uevent};
use crate::urgency::Urgency;

/// Loading is mostly waiting, for signatures to be checked and for devices to answer.
const WORKERS: usize = 4;

/// Loads drivers in the background, the most urgent first, as devices announce themselves.
#[derive(Debug, Clone)]
pub struct Devices(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    loader: Arc<Loader>,
    /// Taken by whoever reads announcements; what they say is queued before it is released.
    listener: Mutex<Listener>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug)]
struct Progress {
    /// What to load, by urgency and then in the order of asking.
    queue: BTreeMap<(Urgency, u64), String>,
    asked: u64,
    /// Everything that was ever queued.
    seen: HashSet<String>,
    /// What is less urgent than this has to wait.
    allowed: Urgency,
    /// Urgencies of the loads that are running.
    running: Vec<Urgency>,
    /// Counts changes of block devices.
    block_changes: u64,
    failures: Vec<String>,
}

impl Progress {
    fn next(&mut self) -> Option<(Urgency, String)> {
        let entry = self
            .queue
            .first_entry()
            .filter(|entry| entry.key().0 <= self.allowed)?;
        let ((urgency, _), module) = entry.remove_entry();
        self.running.push(urgency);
        Some((urgency, module))
    }

    fn finished(&mut self, urgency: Urgency) {
        if let Some(at) = self.running.iter().position(|running| *running == urgency) {
            self.running.swap_remove(at);
        }
    }

    fn ask(&mut self, urgency: Urgency, module: String) {
        if self.seen.insert(module.clone()) {
            self.asked += 1;
            self.queue.insert((urgency, self.asked), module);
        }
    }

    /// Whether anything this urgent is still to be done.
    fn is_busy(&self, urgency: Urgency) -> bool {
        let queued = self
            .queue
            .first_key_value()
            .is_some_and(|((first, _), _)| *first <= urgency);
        queued || self.running.iter().any(|running| *running <= urgency)
    }
}

impl Devices {
    /// Starts listening, and loading drivers for all devices that are there as far as `allowed`. Returns at once.
    ///
    /// # Errors
    /// When the kernel gives no socket for announcements, or no thread can be started.
    pub fn start(loader: Arc<Loader>, allowed: Urgency) -> Result<Self, Error> {
        let listener = Listener::open().map_err(|source| Error::Announcements { source })?;
        let watched = rustix::io::fcntl_dupfd_cloexec(&listener, 3).map_err(|errno| {
            Error::Announcements {
                source: errno.into(),
            }
        })?;
        let shared = Arc::new(Shared {
            loader,
            listener: Mutex::new(listener),
            progress: Mutex::new(Progress {
                queue: BTreeMap::new(),
                asked: 0,
                seen: HashSet::new(),
                allowed,
                // Cold-plugging counts as one, until everything that is there is queued.
                running: vec![Urgency::FastDisk],
                block_changes: 0,
                failures: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        for _ in 0..WORKERS {
            let shared = Arc::clone(&shared);
            spawn("load-drivers", move || shared.work())?;
        }
        let watching = Arc::clone(&shared);
        spawn("watch-devices", move || {
            watching.ask_for_all();
            watching.progress().finished(Urgency::FastDisk);
            watching.changed.notify_all();
            loop {
                let mut poll_fd = [PollFd::new(&watched, PollFlags::IN)];
                // Interrupted or not: what is there is read, and nothing is lost.
                let _ = poll(&mut poll_fd, None);
                watching.read_announcements();
            }
        })?;
        Ok(Self(shared))
    }

    /// The loader, for modules that are needed now.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.0.loader
    }

    /// Lets everything as urgent as `allowed` be loaded.
    pub fn allow(&self, allowed: Urgency) {
        let mut progress = self.0.progress();
        progress.allowed = progress.allowed.max(allowed);
        drop(progress);
        self.0.changed.notify_all();
    }

    /// Queues modules that no device asks for.
    pub fn ask(&self, urgency: Urgency, modules: &[&str]) {
        let mut progress = self.0.progress();
        for module in modules {
            progress.ask(urgency, (*module).to_owned());
        }
        drop(progress);
        self.0.changed.notify_all();
    }

    /// Waits until every driver as urgent as `urgency` is loaded, and those that these bring up. Devices behind USB may still come.
    /// Returns false when that takes longer than `limit`.
    pub fn settle(&self, urgency: Urgency, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut progress = self.0.progress();
        while progress.is_busy(urgency) {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            progress = self.0.wait(progress, rest);
        }
        true
    }

    /// Waits until `look` finds something. It is called now and after each change of a block device.
    pub fn wait_for<T>(&self, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        loop {
            let seen = self.0.progress().block_changes;
            if let Some(found) = look() {
                return Some(found);
            }
            let mut progress = self.0.progress();
            while progress.block_changes == seen {
                let rest = deadline.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    return None;
                }
                progress = self.0.wait(progress, rest);
            }
        }
    }

    /// What could not be loaded so far, and why.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.0.progress().failures.clone()
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        progress: MutexGuard<'a, Progress>,
        limit: Duration,
    ) -> MutexGuard<'a, Progress> {
        self.changed
            .wait_timeout(progress, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Loads what is queued, for ever.
    fn work(&self) {
        loop {
            let mut progress = self.progress();
            let (urgency, module) = loop {
                match progress.next() {
                    Some(next) => break next,
                    None => {
                        progress = self
                            .changed
                            .wait(progress)
                            .unwrap_or_else(PoisonError::into_inner)
                    }
                }
            };
            drop(progress);
            let result = self.loader.load(&module);
            // Devices that the driver found have announced themselves by now: read that before this load counts as done.
            self.read_announcements();
            let mut progress = self.progress();
            if let Err(error) = result {
                progress.failures.push(error.to_string());
            }
            progress.finished(urgency);
            drop(progress);
            self.changed.notify_all();
        }
    }

    fn read_announcements(&self) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match listener.receive() {
                Ok(Some(event)) => self.handle(&event),
                Ok(None) => return,
                // Announcements were lost: look at everything again.
                Err(_) => {
                    self.ask_for_all();
                    self.progress().block_changes += 1;
                    self.changed.notify_all();
                    return;
                }
            }
        }
    }

    fn handle(&self, event: &Uevent) {
        if event.action == "remove" {
            return;
        }
        if let Some(modalias) = &event.modalias {
            self.ask_for(modalias);
        }
        if event.subsystem == "block" {
            self.progress().block_changes += 1;
            self.changed.notify_all();
        }
    }

    /// Queues the drivers of a device. What the command line excludes is left out.
    fn ask_for(&self, modalias: &str) {
        let modules = self.loader.wanted_for(modalias);
        if modules.is_empty() {
            return;
        }
        let urgency = Urgency::of(modalias);
        let mut progress = self.progress();
        for module in modules {
            progress.ask(urgency, module);
        }
        drop(progress);
        self.changed.notify_all();
    }

    /// Queues the drivers of all devices that are there.
    fn ask_for_all(&self) {
        let buses = fs::read_dir("/sys/bus").into_iter().flatten().flatten();
        let devices = buses.flat_map(|bus| {
            fs::read_dir(bus.path().join("devices"))
                .into_iter()
                .flatten()
                .flatten()
        });
        let mut modaliases: Vec<_> = devices
            .filter_map(|device| fs::read_to_string(device.path().join("modalias")).ok())
            .map(|modalias| (Urgency::of(modalias.trim()), modalias.trim().to_owned()))
            .collect();
        modaliases.sort();
        modaliases.dedup();
        for (_, modalias) in modaliases {
            self.ask_for(&modalias);
        }
    }
}

fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    thread::Builder::new()
        .name(name.into())
        .stack_size(256 * 1024)
        .spawn(body)
        .map(drop)
        .map_err(|source| Error::Thread { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(allowed: Urgency) -> Progress {
        Progress {
            queue: BTreeMap::new(),
            asked: 0,
            seen: HashSet::new(),
            allowed,
            running: Vec::new(),
            block_changes: 0,
            failures: Vec::new(),
        }
    }

    #[test]
    fn the_most_urgent_is_loaded_first_and_each_once() {
        let mut progress = progress(Urgency::Rest);
        for (urgency, module) in [
            (Urgency::Network, "e1000"),
            (Urgency::Disk, "ahci"),
            (Urgency::Disk, "sd_mod"),
            (Urgency::FastDisk, "virtio_blk"),
            (Urgency::Disk, "ahci"),
        ] {
            progress.ask(urgency, module.into());
        }
        let order: Vec<_> = std::iter::from_fn(|| progress.next())
            .map(|(_, module)| module)
            .collect();
        assert_eq!(order, ["virtio_blk", "ahci", "sd_mod", "e1000"]);
    }

    #[test]
    fn what_is_not_allowed_waits_and_is_not_waited_for() {
        let mut progress = progress(Urgency::FastDisk);
        progress.ask(Urgency::Disk, "ahci".into());
        assert_eq!(
            (progress.next(), progress.is_busy(Urgency::FastDisk)),
            (None, false)
        );
        progress.allowed = Urgency::Disk;
        assert_eq!(progress.next(), Some((Urgency::Disk, "ahci".into())));
        assert_eq!(
            (
                progress.is_busy(Urgency::FastDisk),
                progress.is_busy(Urgency::Usb)
            ),
            (false, true)
        );
        progress.finished(Urgency::Disk);
        assert!(!progress.is_busy(Urgency::Rest));
    }
}
