//! Taking a terminal: session, controlling terminal, standard streams, sane settings.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex,
};

use crate::error::Error;

/// A terminal that this process controls and has as its standard streams.
pub struct Terminal {
    name: String,
    path: PathBuf,
}

impl Terminal {
    /// Makes `name` (such as `ttyS0`, or a path below `/dev`) this session's terminal.
    ///
    /// # Errors
    /// There is no such device, or another session has it.
    pub fn take(name: &str) -> Result<Self, Error> {
        let name = name.strip_prefix("/dev/").unwrap_or(name).to_owned();
        let path = Path::new("/dev").join(&name);
        let fault = |action| {
            let path = path.clone();
            move |cause: std::io::Error| Error::Terminal {
                action,
                path,
                cause,
            }
        };
        // A session leader already when respawn started it.
        let _ = rustix::process::setsid();
        // NONBLOCK: a serial line without a modem must not keep open(2) waiting for a carrier.
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags.bits() as i32)
            .open(&path)
            .map_err(fault("open"))?;
        let status = rustix::fs::fcntl_getfl(&file).map_err(|e| fault("use")(e.into()))?;
        rustix::fs::fcntl_setfl(&file, status - OFlags::NONBLOCK)
            .map_err(|e| fault("use")(e.into()))?;
        rustix::process::ioctl_tiocsctty(&file).map_err(|e| fault("control")(e.into()))?;
        reset(&file).map_err(fault("set up"))?;
        let streams = [
            rustix::stdio::dup2_stdin(&file),
            rustix::stdio::dup2_stdout(&file),
            rustix::stdio::dup2_stderr(&file),
        ];
        for stream in streams {
            stream.map_err(|e| fault("use")(e.into()))?;
        }
        Ok(Self { name, path })
    }

    /// A screen with the kernel's terminal emulation, rather than a line.
    pub fn is_screen(&self) -> bool {
        self.name
            .strip_prefix("tty")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    }

    /// What `TERM` should be. Lines: what most terminal programs understand.
    pub fn term(&self) -> &'static str {
        match self.is_screen() {
            true => "linux",
            false => "vt220",
        }
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Cooked mode with the usual keys, keeping the speed that the kernel's console has set.
fn reset(terminal: impl AsFd) -> std::io::Result<()> {
    let mut settings = rustix::termios::tcgetattr(&terminal)?;
    settings.input_modes =
        InputModes::ICRNL | InputModes::IXON | InputModes::IUTF8 | InputModes::BRKINT;
    settings.output_modes = OutputModes::OPOST | OutputModes::ONLCR;
    settings.local_modes = LocalModes::ISIG
        | LocalModes::ICANON
        | LocalModes::ECHO
        | LocalModes::ECHOE
        | LocalModes::ECHOK
        | LocalModes::ECHOCTL
        | LocalModes::ECHOKE
        | LocalModes::IEXTEN;
    settings.control_modes -= ControlModes::CSIZE | ControlModes::PARENB | ControlModes::HUPCL;
    settings.control_modes |= ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL;
    let keys = [
        (SpecialCodeIndex::VINTR, 0x03),
        (SpecialCodeIndex::VQUIT, 0x1c),
        (SpecialCodeIndex::VERASE, 0x7f),
        (SpecialCodeIndex::VKILL, 0x15),
        (SpecialCodeIndex::VEOF, 0x04),
        (SpecialCodeIndex::VSTART, 0x11),
        (SpecialCodeIndex::VSTOP, 0x13),
        (SpecialCodeIndex::VSUSP, 0x1a),
    ];
    for (key, code) in keys {
        settings.special_codes[key] = code;
    }
    rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &settings)?;
    Ok(())
}
