//! The consoles that the kernel writes to: what PID 1 says goes to all of them (kernel: Documentation/admin-guide/serial-console.rst).

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

const ACTIVE: &str = "/sys/class/tty/console/active";

/// A console and where it is.
#[derive(Debug)]
struct Screen {
    path: PathBuf,
    file: File,
}

impl Screen {
    fn open(path: PathBuf) -> Option<Self> {
        open(&path).map(|file| Self { path, file })
    }

    fn write(&self, bytes: &[u8]) {
        let Err(error) = (&self.file).write_all(bytes) else {
            return;
        };
        // A login hangs its terminal up: what was open before is dead for good (vhangup(2)).
        if Errno::from_io_error(&error) == Some(Errno::IO)
            && let Some(mut file) = open(&self.path)
        {
            let _ = file.write_all(bytes);
        }
    }
}

/// All active consoles, opened for writing. A console that blocks or goes away loses lines; it never stops the boot.
#[derive(Debug, Default)]
pub struct Consoles {
    screens: Vec<Screen>,
    kernel_log: Option<File>,
}

impl Consoles {
    /// Opens those that are active now. Needs `/dev` and `/sys`.
    #[must_use]
    pub fn open() -> Self {
        let screens: Vec<Screen> = active()
            .iter()
            .filter_map(|name| Screen::open(Path::new("/dev").join(name)))
            .collect();
        let screens = if screens.is_empty() {
            Screen::open("/dev/console".into()).into_iter().collect()
        } else {
            screens
        };
        Self {
            screens,
            kernel_log: open(Path::new("/dev/kmsg")),
        }
    }

    /// Writes a line to every console and to the kernel log.
    pub fn say(&self, line: &str) {
        for screen in &self.screens {
            screen.write(format!("{line}\n").as_bytes());
        }
        self.log(line);
    }

    /// Writes a line to the kernel log only. Level 7, so that the kernel does not print it on the consoles again.
    pub fn log(&self, line: &str) {
        if let Some(log) = &self.kernel_log {
            let mut log = log;
            for line in line.lines() {
                let _ = log.write_all(format!("<7>coracle: {line}\n").as_bytes());
            }
        }
    }
}

/// Terminals for a shell, one for each active console: `/dev/tty1` for the screen, `/dev/ttyS0`, …
#[must_use]
pub fn terminals() -> Vec<PathBuf> {
    let mut terminals: Vec<PathBuf> = active()
        .iter()
        .map(|name| Path::new("/dev").join(if name == "tty0" { "tty1" } else { name }))
        .filter(|path| path.exists())
        .collect();
    terminals.dedup();
    if terminals.is_empty() {
        vec!["/dev/console".into()]
    } else {
        terminals
    }
}

fn active() -> Vec<String> {
    parse_active(&fs::read_to_string(ACTIVE).unwrap_or_default())
}

fn parse_active(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn open(path: &Path) -> Option<File> {
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lists_consoles_in_one_line() {
        assert_eq!(parse_active("tty0 ttyS0\n"), ["tty0", "ttyS0"]);
        assert_eq!(parse_active(""), Vec::<String>::new());
    }

    #[test]
    fn saying_something_without_consoles_is_no_error() {
        Consoles::default().say("text");
    }
}
