//! The QEMU process, from its start to the power button.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use serde_json::json;

use crate::arguments::{Inherited, Machine};
use crate::{Error, Forward, Qmp, Result, Serial, StateDir, Vm, child, socket};

/// One QEMU is started at a time: inheritable descriptors must not leak into another one.
static SPAWNING: Mutex<()> = Mutex::new(());

/// A machine that is ready to be powered on.
#[derive(Debug)]
pub struct Paused {
    dir: StateDir,
    qemu: Qemu,
    qmp: Qmp,
    ports: Vec<Forward>,
    user: String,
    second_serial: Option<UnixStream>,
}

impl Paused {
    pub(crate) fn spawn(
        dir: StateDir,
        tool: Command,
        machine: &Machine,
        user: String,
        detached: bool,
    ) -> Result<Self> {
        let qmp = socket::listen(dir.path(), "qmp.sock")?;
        let serial = socket::listen(dir.path(), "serial.sock")?;
        let second = machine
            .second_serial
            .then(|| socket::listen(dir.path(), "serial2.sock"))
            .transpose()?;
        let inherited = Inherited {
            qmp: qmp.as_raw_fd(),
            serial: serial.as_raw_fd(),
            second_serial: second.as_ref().map(AsRawFd::as_raw_fd),
        };
        let arguments = machine.arguments(inherited);
        let mut listeners: Vec<OwnedFd> = vec![qmp.into(), serial.into()];
        listeners.extend(second.map(OwnedFd::from));
        let mut qemu = Qemu {
            child: spawn_qemu(&dir, &tool, &arguments, listeners, detached)?,
            owned: true,
        };
        let connect = || -> Result<_> {
            let mut qmp = Qmp::new(socket::connect(dir.path(), "qmp.sock")?)?;
            let ports = qmp.forwards()?;
            let second = machine
                .second_serial
                .then(|| socket::connect(dir.path(), "serial2.sock"))
                .transpose()?;
            Ok((qmp, ports, second))
        };
        let (qmp, ports, second_serial) = connect().map_err(|error| qemu.explain(&dir, error))?;
        dir.write_ports(&ports)?;
        Ok(Self {
            dir,
            qemu,
            qmp,
            ports,
            user,
            second_serial,
        })
    }

    /// The serial console, from the first byte on.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn serial(&self) -> Result<UnixStream> {
        socket::connect(self.dir.path(), "serial.sock")
    }

    /// Powers the machine on with its consoles read.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn power_on(mut self) -> Result<Vm> {
        let serial =
            Serial::new(self.serial()?).map_err(Error::io("read", "the serial console"))?;
        let second = self.second_serial.take().map(Serial::new).transpose();
        let second = second.map_err(Error::io("read", "the second serial port"))?;
        self.qmp.execute("cont", json!({}))?;
        Ok(Vm {
            power_on: Instant::now(),
            dir: self.dir,
            qemu: self.qemu,
            qmp: Mutex::new(self.qmp),
            ports: self.ports,
            user: self.user,
            serial,
            second_serial: second,
        })
    }

    /// Powers the machine on and lets go of it: it lives on when this process ends.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn power_on_and_leave(mut self) -> Result<StateDir> {
        self.qmp.execute("cont", json!({}))?;
        self.qemu.owned = false;
        Ok(self.dir)
    }
}

/// The QEMU process; ended when dropped, if owned.
#[derive(Debug)]
pub(crate) struct Qemu {
    child: Child,
    owned: bool,
}

impl Qemu {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Turns a broken connection into what QEMU said about its end.
    fn explain(&mut self, dir: &StateDir, error: Error) -> Error {
        let ended = child::wait_until(&mut self.child, Instant::now() + Duration::from_secs(1));
        match (ended, fs::read_to_string(dir.file("qemu.log"))) {
            (Ok(true), Ok(stderr)) => Error::QemuEnded {
                stderr: stderr.trim().to_owned(),
            },
            _ => error,
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        if self.owned {
            // It may have ended already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Starts QEMU with the listening sockets inherited: connecting to them works from now on, and fails when QEMU ends.
fn spawn_qemu(
    dir: &StateDir,
    tool: &Command,
    arguments: &[String],
    listeners: Vec<OwnedFd>,
    detached: bool,
) -> Result<Child> {
    // An owned machine ends even when its owner is killed; a detached one leaves the terminal's session.
    let wrapper: &[&str] = if detached {
        &["setsid"]
    } else {
        &["setpriv", "--pdeathsig", "KILL", "--"]
    };
    let mut command = Command::new(wrapper[0]);
    command
        .args(&wrapper[1..])
        .arg(tool.get_program())
        .args(tool.get_args())
        .args(arguments);
    for (key, value) in tool.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    let log_path = dir.file("qemu.log");
    let log = File::create(&log_path).map_err(Error::io("create", log_path))?;
    command
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let _guard = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    for listener in &listeners {
        rustix::io::fcntl_setfd(listener.as_fd(), FdFlags::empty())
            .map_err(|error| Error::io("pass on", dir.path())(error.into()))?;
    }
    command.spawn().map_err(|source| Error::MissingProgram {
        program: "setpriv",
        package: "util-linux",
        source,
    })
}
