//! Finding devices: drivers for what is there (cold-plugging) and for what comes later, and waiting for disks without polling.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::Error;
use crate::modules::Loader;
use crate::uevent::{Listener, Uevent};

/// Loading is mostly waiting, for signatures to be checked and for devices to answer.
const WORKERS: usize = 4;

/// Loads drivers in the background, as devices announce themselves.
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

#[derive(Debug, Default)]
struct Progress {
    queue: VecDeque<String>,
    /// Everything that was ever queued.
    seen: HashSet<String>,
    /// Modules being loaded, and announcements not read yet because of them.
    busy: usize,
    /// Counts changes of block devices.
    block_changes: u64,
    failures: Vec<String>,
}

impl Devices {
    /// Starts listening, and queues the drivers of all devices that are there. Returns at once.
    ///
    /// # Errors
    /// When the kernel gives no socket for announcements, or no thread can be started.
    pub fn start(loader: Arc<Loader>) -> Result<Self, Error> {
        let listener = Listener::open().map_err(|source| Error::Announcements { source })?;
        let watched = rustix::io::fcntl_dupfd_cloexec(&listener, 3)
            .map_err(|e| Error::Announcements { source: e.into() })?;
        let shared = Arc::new(Shared {
            loader,
            listener: Mutex::new(listener),
            progress: Mutex::default(),
            changed: Condvar::new(),
        });
        shared.queue_all(coldplug());
        for _ in 0..WORKERS {
            let shared = Arc::clone(&shared);
            spawn("load-drivers", move || shared.work())?;
        }
        let listening = Arc::clone(&shared);
        spawn("watch-devices", move || {
            loop {
                let mut poll_fd = [PollFd::new(&watched, PollFlags::IN)];
                // Interrupted or not: what is there is read, and nothing is lost.
                let _ = poll(&mut poll_fd, None);
                listening.read_announcements();
            }
        })?;
        Ok(Self(shared))
    }

    /// The loader, for modules that no device asks for.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.0.loader
    }

    /// Waits until every driver asked for so far is loaded, and those asked for meanwhile. Devices behind slow buses (USB) may
    /// still come. Returns false when that takes longer than `limit`.
    pub fn settle(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut progress = self.0.progress();
        while progress.busy > 0 || !progress.queue.is_empty() {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            progress = self
                .0
                .changed
                .wait_timeout(progress, rest)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Waits until `look` finds something. It is called now, after each change of a block device, and once everything
    /// has settled.
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
                progress = self
                    .0
                    .changed
                    .wait_timeout(progress, rest)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
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

    /// Loads what is queued, for ever.
    fn work(&self) {
        loop {
            let mut progress = self.progress();
            let module = loop {
                match progress.queue.pop_front() {
                    Some(module) => break module,
                    None => {
                        progress = self
                            .changed
                            .wait(progress)
                            .unwrap_or_else(PoisonError::into_inner)
                    }
                }
            };
            progress.busy += 1;
            drop(progress);
            let result = self.loader.load(&module);
            // Devices that the driver found have announced themselves by now: read that before this load counts as done.
            self.read_announcements();
            let mut progress = self.progress();
            if let Err(error) = result {
                progress.failures.push(error.to_string());
            }
            progress.busy -= 1;
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
                    self.queue_all(coldplug());
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
            self.queue_all([modalias.clone()]);
        }
        if event.subsystem == "block" {
            self.progress().block_changes += 1;
            self.changed.notify_all();
        }
    }

    fn queue_all(&self, modaliases: impl IntoIterator<Item = String>) {
        let modules: Vec<_> = modaliases
            .into_iter()
            .flat_map(|modalias| self.loader.wanted_for(&modalias))
            .collect();
        let mut progress = self.progress();
        for module in modules {
            if progress.seen.insert(module.clone()) {
                progress.queue.push_back(module);
            }
        }
        drop(progress);
        self.changed.notify_all();
    }
}

/// The modaliases of all devices that are there, disks first.
fn coldplug() -> Vec<String> {
    let buses = fs::read_dir("/sys/bus").into_iter().flatten().flatten();
    let devices = buses.flat_map(|bus| {
        fs::read_dir(bus.path().join("devices"))
            .into_iter()
            .flatten()
            .flatten()
    });
    let mut modaliases: Vec<String> = devices
        .filter_map(|device| fs::read_to_string(device.path().join("modalias")).ok())
        .map(|modalias| modalias.trim().to_owned())
        .collect();
    modaliases.sort_by_key(|modalias| (urgency(modalias), modalias.clone()));
    modaliases.dedup();
    modaliases
}

/// The root may be on a virtual disk, then on other disks, then behind USB; the network comes next.
fn urgency(modalias: &str) -> u8 {
    let class = modalias
        .split_once("bc")
        .filter(|_| modalias.starts_with("pci:"))
        .map(|(_, class)| class);
    match class {
        _ if modalias.starts_with("virtio:d00000002") => 0,
        Some(class) if class.starts_with("01") => 1,
        _ if ["virtio:", "vmbus:", "xen:", "scsi:"]
            .iter()
            .any(|bus| modalias.starts_with(bus)) =>
        {
            2
        }
        Some(class) if class.starts_with("0Csc03") => 3,
        Some(class) if class.starts_with("02") => 4,
        _ => 5,
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

    #[test]
    fn disks_come_before_the_rest() {
        let mut modaliases = [
            "acpi:PNP0C0A:",
            "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00",
            "pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30",
            "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
            "virtio:d00000001v00001AF4",
            "virtio:d00000002v00001AF4",
        ];
        modaliases.sort_by_key(|modalias| urgency(modalias));
        let ends = modaliases.map(|modalias| &modalias[modalias.len() - 12..]);
        assert_eq!(
            ends,
            [
                "002v00001AF4",
                "0bc01sc06i01",
                "001v00001AF4",
                "0bc0Csc03i30",
                "Fbc02sc00i00",
                "cpi:PNP0C0A:"
            ]
        );
    }
}
