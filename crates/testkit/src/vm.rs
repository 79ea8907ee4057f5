use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ports::host_port;
use crate::qemu::Qemu;
use crate::{Error, Forward, Output, Project, Qmp, Result, Serial, Ssh, StateDir, VmBuilder};

/// How long an emulated machine may take to boot on a busy host.
pub const BOOT_LIMIT: Duration = Duration::from_secs(300);

/// How long a command in the guest may take unless its caller says otherwise.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// A running machine, owned by this process.
#[derive(Debug)]
pub struct Vm {
    pub(crate) power_on: Instant,
    pub(crate) dir: StateDir,
    pub(crate) qemu: Qemu,
    pub(crate) qmp: Mutex<Qmp>,
    pub(crate) ports: Vec<Forward>,
    pub(crate) user: String,
    pub(crate) serial: Serial,
    pub(crate) second_serial: Option<Serial>,
}

impl Vm {
    /// Describes a machine.
    pub fn builder(project: Project) -> VmBuilder {
        VmBuilder::new(project)
    }

    /// When the machine was powered on.
    pub const fn power_on(&self) -> Instant {
        self.power_on
    }

    /// QEMU's process id.
    pub fn qemu_pid(&self) -> u32 {
        self.qemu.pid()
    }

    /// The machine's directory.
    pub const fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// The first serial port.
    pub const fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The second serial port, when the builder asked for one.
    pub const fn second_serial(&self) -> Option<&Serial> {
        self.second_serial.as_ref()
    }

    /// QEMU's control connection.
    pub fn qmp(&self) -> MutexGuard<'_, Qmp> {
        self.qmp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host's port that leads to a port of the guest.
    ///
    /// # Errors
    /// That port is not forwarded.
    pub fn port(&self, guest: u16) -> Result<u16> {
        host_port(&self.ports, guest)
    }

    /// Waits until a login over SSH works.
    ///
    /// # Errors
    /// The limit is reached, the guest panics, or QEMU ends.
    pub fn wait_for_ssh(&self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        Ssh::wait_for_banner(self.port(22)?, limit, || self.fault())
            .and_then(|_| {
                self.ssh()?
                    .connect(limit.saturating_sub(started.elapsed()), || self.fault())
            })
            .map_err(|error| self.explain(error))
    }

    /// Waits until the guest's sshd greets, and returns when it did.
    ///
    /// # Errors
    /// As [`Vm::wait_for_ssh`].
    pub fn wait_for_ssh_banner(&self, limit: Duration) -> Result<Instant> {
        Ssh::wait_for_banner(self.port(22)?, limit, || self.fault())
            .map_err(|error| self.explain(error))
    }

    /// Commands in the guest.
    ///
    /// # Errors
    /// Port 22 is not forwarded.
    pub fn ssh(&self) -> Result<Ssh> {
        Ok(Ssh::new(self.dir.path(), self.port(22)?, &self.user))
    }

    /// Runs a shell command in the guest; any exit code is a success of this function.
    ///
    /// # Errors
    /// SSH fails, or the command takes longer than 180 s.
    pub fn exec(&self, command: &str) -> Result<Output> {
        self.exec_within(command, COMMAND_LIMIT)
    }

    /// As [`Vm::exec`], with another limit.
    ///
    /// # Errors
    /// As [`Vm::exec`].
    pub fn exec_within(&self, command: &str, limit: Duration) -> Result<Output> {
        self.ssh()?
            .exec(command, Vec::new(), limit)
            .map_err(|error| self.explain(error))
    }

    /// Runs a shell command in the guest that has to end with exit code 0.
    ///
    /// # Errors
    /// As [`Vm::exec`]; another exit code.
    pub fn run(&self, command: &str) -> Result<Output> {
        let output = self.exec(command)?;
        if output.code == 0 {
            return Ok(output);
        }
        Err(Error::Command {
            command: command.to_owned(),
            code: output.code,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    /// Copies a file into the guest, as the login user.
    ///
    /// # Errors
    /// The file cannot be read, or the guest cannot write it.
    pub fn copy_in(&self, local: &Path, remote: &str) -> Result<()> {
        let content = fs::read(local).map_err(Error::io("read", local))?;
        self.write_file(remote, content)
    }

    /// Writes a file in the guest, as the login user.
    ///
    /// # Errors
    /// The guest cannot write it.
    pub fn write_file(&self, remote: &str, content: Vec<u8>) -> Result<()> {
        let command = format!("cat > {}", quote(remote));
        let output = self.ssh()?.exec(&command, content, COMMAND_LIMIT)?;
        if output.code == 0 {
            return Ok(());
        }
        Err(Error::Command {
            command,
            code: output.code,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    /// Copies a text file out of the guest.
    ///
    /// # Errors
    /// The guest cannot read it, or the file cannot be written.
    pub fn copy_out(&self, remote: &str, local: &Path) -> Result<()> {
        let output = self.run(&format!("cat {}", quote(remote)))?;
        fs::write(local, output.stdout).map_err(Error::io("write", local))
    }

    /// Writes what the screen shows as PNG.
    ///
    /// # Errors
    /// QEMU cannot write the file.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        let path = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        self.qmp().screenshot(&path)
    }

    /// Presses the power button for a moment (ACPI).
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn press_power_button(&self) -> Result<()> {
        self.qmp().execute("system_powerdown", json!({})).map(drop)
    }

    /// Waits until the guest powers the machine off, and returns how long that took.
    ///
    /// # Errors
    /// The limit is reached; the machine resets instead.
    pub fn wait_for_power_off(&self, limit: Duration) -> Result<Duration> {
        self.wait_for_end("SHUTDOWN", "power-off", limit)
    }

    /// Waits until the guest restarts the machine, and returns how long that took. SSH has to be waited for anew.
    ///
    /// # Errors
    /// The limit is reached; the machine powers off instead.
    pub fn wait_for_reset(&self, limit: Duration) -> Result<Duration> {
        let took = self.wait_for_end("RESET", "reset", limit)?;
        self.ssh()?.disconnect();
        Ok(took)
    }

    fn wait_for_end(&self, wanted: &str, what: &str, limit: Duration) -> Result<Duration> {
        let started = Instant::now();
        let event = self
            .qmp()
            .wait_for_event(&["SHUTDOWN", "RESET"], limit)
            .map_err(|error| match error {
                Error::Timeout { limit, .. } => Error::Timeout {
                    what: format!("the guest's {what}"),
                    limit,
                    context: format!("; the console's last lines:\n{}", self.serial.tail()),
                },
                other => other,
            })?;
        if event["event"].as_str() == Some(wanted) {
            return Ok(started.elapsed());
        }
        let message = format!("the guest did not {what}: {event}\n{}", self.serial.tail());
        Err(Error::QemuEnded { stderr: message })
    }

    /// Why waiting for the guest is vain, if it is.
    fn fault(&self) -> Option<Error> {
        self.serial.failure().map(Error::KernelFailure)
    }

    /// Prefers the cause to its effect.
    fn explain(&self, error: Error) -> Error {
        let fault = self.fault().or_else(|| match &error {
            Error::Timeout { .. } => self.serial.silence().map(Error::KernelFailure),
            _ => None,
        });
        match (fault, error) {
            (Some(fault), _) => fault,
            (
                None,
                Error::Timeout {
                    what,
                    limit,
                    context,
                },
            ) => Error::Timeout {
                what,
                limit,
                context: format!(
                    "{context}; the console's last lines:\n{}",
                    self.serial.tail()
                ),
            },
            (None, error) => error,
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if let Ok(ssh) = self.ssh() {
            ssh.disconnect();
        }
    }
}

/// A word for the guest's shell.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Runs `action` again, once, when the guest's kernel failed by the emulator's fault.
///
/// # Errors
/// Those of the last try.
pub fn retry_after_emulator_fault<T>(mut action: impl FnMut() -> Result<T>) -> Result<T> {
    match action() {
        Err(error) if error.is_emulator_fault() => {
            eprintln!("{error}; this is the emulator's fault: trying once more");
            action()
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_words_for_the_shell() {
        assert_eq!(quote("it's"), r"'it'\''s'");
    }

    #[test]
    fn retries_once_and_only_after_an_emulator_fault() {
        let panic = |text: &str| Error::KernelFailure(crate::KernelFailure::find(text).unwrap());
        let cases = [
            (
                "Kernel panic - not syncing: Fatal exception in interrupt",
                2,
            ),
            ("Kernel panic - not syncing: Attempted to kill init!", 1),
        ];
        for (text, expected) in cases {
            let mut tries = 0;
            let result: Result<()> = retry_after_emulator_fault(|| {
                tries += 1;
                Err(panic(text))
            });
            assert!(result.is_err());
            assert_eq!(tries, expected, "{text}");
        }
    }
}
