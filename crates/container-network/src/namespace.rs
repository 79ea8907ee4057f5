//! Doing things inside a network namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Doing, Error, Result};

/// A network namespace, which lives at least as long as this.
#[derive(Debug)]
pub struct Namespace(OwnedFd);

impl Namespace {
    /// That of a process.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: Pid) -> Result<Self> {
        let path = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
        File::open(&path)
            .map(|file| Self(file.into()))
            .doing(|| format!("open network namespace {path}"))
    }

    /// Runs `work` on a thread of its own inside the namespace: it ends there and never comes back.
    ///
    /// # Errors
    /// Those of `work`, and when the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let enter = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                .doing(|| "enter the network namespace of a container".to_owned())
        };
        thread::scope(|scope| {
            let entered = thread::Builder::new()
                .name("network".to_owned())
                .spawn_scoped(scope, move || enter().and_then(|()| work()))
                .doing(|| "start a thread".to_owned())?;
            entered.join().unwrap_or_else(|_| {
                Err(Error::Kernel {
                    what: "work in the network namespace of a container".to_owned(),
                    source: io::Error::other("the thread failed"),
                })
            })
        })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Runs a test in a new network namespace. `None`, with a reason on standard error, where that is not possible.
    pub(crate) fn in_new_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
        let (namespace, _child) = new_namespace()?;
        Some(namespace.run(|| Ok(work())).unwrap())
    }

    /// A namespace of a process that ends with its standard input.
    pub(crate) fn new_namespace() -> Option<(Namespace, Child)> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: needs root");
            return None;
        }
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        Some((Namespace::of(pid).unwrap(), child))
    }

    #[test]
    fn work_is_done_inside_and_its_result_comes_back() {
        let own = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let Some(inside) = in_new_namespace(own) else {
            return;
        };
        assert_ne!(inside, own());
        let (namespace, _child) = new_namespace().unwrap();
        let failed: Result<()> = namespace.run(|| panic!("on purpose"));
        assert_eq!(
            failed.unwrap_err().to_string(),
            "work in the network namespace of a container: the thread failed"
        );
    }
}
