//! Machines that another process started: `cargo xtask vm`.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ports::host_port;
use crate::{Error, Qmp, Result, Ssh, StateDir, child, socket};

impl StateDir {
    /// Connects to the control socket of a machine that another process started.
    ///
    /// # Errors
    /// The machine does not run.
    pub fn qmp(&self) -> Result<Qmp> {
        self.require_running()?;
        Qmp::new(socket::connect(self.path(), "qmp.sock")?)
    }

    /// Connects to the serial console of a machine that another process started.
    ///
    /// # Errors
    /// The machine does not run.
    pub fn serial(&self) -> Result<UnixStream> {
        self.require_running()?;
        socket::connect(self.path(), "serial.sock")
    }

    /// Commands in a machine that another process started.
    ///
    /// # Errors
    /// The machine does not run or has no SSH port.
    pub fn ssh(&self, user: &str) -> Result<Ssh> {
        self.require_running()?;
        Ok(Ssh::new(self.path(), host_port(&self.ports(), 22)?, user))
    }

    /// Waits until a login over SSH to a machine that another process started works.
    ///
    /// # Errors
    /// The limit is reached, or the machine ends.
    pub fn wait_for_ssh(&self, user: &str, limit: Duration) -> Result<()> {
        let ssh = self.ssh(user)?;
        if ssh.is_connected() {
            return Ok(());
        }
        let started = Instant::now();
        let fault = || self.require_running().err();
        Ssh::wait_for_banner(host_port(&self.ports(), 22)?, limit, fault)?;
        ssh.connect(limit.saturating_sub(started.elapsed()), fault)
    }

    /// Writes what the screen of a machine that another process started shows as PNG.
    ///
    /// # Errors
    /// The machine does not run, or QEMU cannot write the file.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        let path = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        self.qmp()?.screenshot(&path)
    }

    fn require_running(&self) -> Result<u32> {
        self.running()
            .ok_or_else(|| Error::NotRunning(self.name().to_owned()))
    }

    /// Ends the machine: by its power button, and by force when it is still on at the limit. True when it went down by itself.
    ///
    /// # Errors
    /// The machine does not run.
    pub fn stop(&self, limit: Duration) -> Result<bool> {
        let pid = self.require_running()?;
        let mut qmp = self.qmp()?;
        let mut orderly = false;
        if !limit.is_zero() {
            qmp.execute("system_powerdown", json!({}))?;
            // A guest that ignores the button is ended below.
            orderly = qmp.wait_for_event(&["SHUTDOWN"], limit).is_ok();
        }
        if !orderly {
            // QEMU may close the connection before it answers.
            let _ = qmp.execute("quit", json!({}));
        }
        let Some(pid) = i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        else {
            return Ok(orderly);
        };
        let patience = Instant::now() + Duration::from_secs(10);
        if !child::wait_for_pid(pid, patience).map_err(Error::io("wait for", "QEMU"))? {
            // It may have ended in this moment.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        Ok(orderly)
    }
}
