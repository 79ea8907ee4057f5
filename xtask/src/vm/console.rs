use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::Context;
use clap::Args;
use coracle_testkit::StateDir;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Name;

/// Ctrl-], as in telnet and virsh.
const ESCAPE: u8 = 0x1d;

/// Options of `cargo xtask vm console`.
#[derive(Debug, Args)]
pub struct Console {
    #[command(flatten)]
    name: Name,
}

impl Console {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let dir = self.name.dir()?;
        attach(&dir, dir.serial()?)
    }
}

/// Connects this terminal to a serial console until Ctrl-] is pressed or the machine ends.
pub(super) fn attach(dir: &StateDir, serial: UnixStream) -> anyhow::Result<()> {
    // QEMU serves one client; a second one would wait without a word.
    let path = dir.file("console.lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    lock.try_lock()
        .with_context(|| format!("another terminal is attached to {}", dir.name()))?;
    eprintln!("serial console of {}; Ctrl-] leaves it", dir.name());
    let left = {
        let _raw = RawTerminal::enter()?;
        bridge(serial)?
    };
    if left {
        let name = dir.name();
        eprintln!("\n{name} goes on; `cargo xtask vm stop --name {name}` ends it");
    } else {
        eprintln!("\n{} has ended", dir.name());
    }
    Ok(())
}

/// Copies both ways; true when the user left, false when the machine ended.
fn bridge(mut serial: UnixStream) -> anyhow::Result<bool> {
    let mut stdin = io::stdin().lock();
    let mut stdout = io::stdout().lock();
    let mut typing = true;
    let mut chunk = [0; 4096];
    loop {
        let (from_guest, from_user) = {
            let mut fds = [
                PollFd::new(&serial, PollFlags::IN),
                PollFd::new(&stdin, PollFlags::IN),
            ];
            let watched = if typing { 2 } else { 1 };
            match poll(&mut fds[..watched], None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error).context("cannot wait for the console"),
            }
            (
                !fds[0].revents().is_empty(),
                typing && !fds[1].revents().is_empty(),
            )
        };
        if from_guest {
            match serial.read(&mut chunk) {
                Ok(0) | Err(_) => return Ok(false),
                Ok(count) => {
                    stdout.write_all(&chunk[..count])?;
                    stdout.flush()?;
                }
            }
        }
        if from_user {
            let count = stdin.read(&mut chunk)?;
            let typed = &chunk[..count];
            let end = typed.iter().position(|byte| *byte == ESCAPE);
            serial
                .write_all(&typed[..end.unwrap_or(count)])
                .context("the machine's console closed")?;
            if end.is_some() {
                return Ok(true);
            }
            // Input from a file that ends does not end the machine.
            typing = count > 0;
        }
    }
}

/// The terminal in raw mode until dropped.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter() -> anyhow::Result<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self(None));
        }
        let before = tcgetattr(&stdin).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Drain, &raw)
            .context("cannot set the terminal to raw mode")?;
        Ok(Self(Some(before)))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that is gone needs no settings.
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}
