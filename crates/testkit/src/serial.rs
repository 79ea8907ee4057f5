use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, KernelFailure, Output, Result, console_text};

/// Lines of console output that an error shows.
const TAIL: usize = 25;

/// The guest's serial console, read by a thread as it comes.
///
/// Like `expect`, every wait starts where the last one's match ended.
#[derive(Debug)]
pub struct Serial {
    shared: Arc<Shared>,
    writer: Mutex<UnixStream>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Received>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    /// (length of `bytes` after a read, when it happened), ascending.
    reads: Vec<(usize, Instant)>,
    /// Where the next wait starts.
    cursor: usize,
    closed: bool,
    commands: u32,
}

/// A match on the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which of the patterns it was.
    pub index: usize,
    /// When its last byte arrived.
    pub at: Instant,
    /// What came before it since the last match, as plain text.
    pub before: String,
}

impl Serial {
    /// Starts reading a connected console.
    pub fn new(stream: UnixStream) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Mutex::new(stream.try_clone()?);
        let reader = Arc::clone(&shared);
        std::thread::spawn(move || read_all(stream, &reader));
        Ok(Self { shared, writer })
    }

    /// Waits until one of the patterns appears.
    ///
    /// # Errors
    /// The limit is reached, the guest's kernel panics, or the console is closed (QEMU ended). The text ends with the last lines.
    pub fn wait_for_any(&self, patterns: &[&str], limit: Duration) -> Result<Found> {
        let deadline = Instant::now() + limit;
        let mut received = self.lock();
        loop {
            if let Some(found) = received.take_match(patterns) {
                return Ok(found);
            }
            if let Some(failure) = KernelFailure::find(&String::from_utf8_lossy(&received.bytes)) {
                return Err(Error::KernelFailure(failure));
            }
            if received.closed {
                return Err(Error::QemuEnded {
                    stderr: format!("the console's last lines:\n{}", received.tail()),
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout {
                    what: format!("`{}` on the serial console", patterns.join("` or `")),
                    limit,
                    context: format!(":\n{}", received.tail()),
                });
            }
            received = self
                .shared
                .changed
                .wait_timeout(received, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until the pattern appears.
    ///
    /// # Errors
    /// As [`Serial::wait_for_any`].
    pub fn wait_for(&self, pattern: &str, limit: Duration) -> Result<Found> {
        self.wait_for_any(&[pattern], limit)
    }

    /// Types text; a line break is the Enter key.
    ///
    /// # Errors
    /// The console is closed.
    pub fn send(&self, text: &str) -> Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer
            .write_all(text.as_bytes())
            .map_err(Error::io("write to", "the serial console"))
    }

    /// Runs a command in the shell that shows its prompt on the console. Standard error comes mixed into `stdout`.
    ///
    /// # Errors
    /// As [`Serial::wait_for_any`].
    pub fn run(&self, command: &str, limit: Duration) -> Result<Output> {
        let number = {
            let mut received = self.lock();
            received.commands += 1;
            received.commands
        };
        // The shell echoes what is typed: the markers are put together by printf, so that the echo does not match them. All of it
        // is one line, because a command may read what is typed after it (sudo does).
        self.send(&format!(
            "printf '%s-%d\\n' BEGIN {number}; {command}; printf '\\n%s-%d-%d-\\n' END {number} $?\n"
        ))?;
        self.wait_for(&format!("BEGIN-{number}\r\n"), limit)?;
        let body = self.wait_for(&format!("\r\nEND-{number}-"), limit)?.before;
        let code = self.wait_for("-\r\n", limit)?.before;
        Ok(Output {
            code: code.trim().parse().unwrap_or(-1),
            stdout: body.strip_suffix('\n').unwrap_or(&body).to_owned(),
            stderr: String::new(),
        })
    }

    /// Everything received so far, as plain text.
    pub fn text(&self) -> String {
        console_text::plain(&self.lock().bytes)
    }

    /// The last lines received.
    pub fn tail(&self) -> String {
        self.lock().tail()
    }

    /// What ended the guest's kernel, if anything did.
    pub fn failure(&self) -> Option<KernelFailure> {
        KernelFailure::find(&String::from_utf8_lossy(&self.lock().bytes))
    }

    /// The kernel, when the console has nothing of PID 1.
    pub fn silence(&self) -> Option<KernelFailure> {
        KernelFailure::before_pid_1(&String::from_utf8_lossy(&self.lock().bytes))
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.shared
            .received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Received {
    fn tail(&self) -> String {
        console_text::tail(&console_text::plain(&self.bytes), TAIL)
    }

    /// Finds the earliest match after the cursor and moves the cursor behind it.
    fn take_match(&mut self, patterns: &[&str]) -> Option<Found> {
        let rest = &self.bytes[self.cursor..];
        let (start, index) = patterns
            .iter()
            .enumerate()
            .filter_map(|(index, pattern)| Some((find(rest, pattern.as_bytes())?, index)))
            .min()?;
        let end = self.cursor + start + patterns[index].len();
        let before = console_text::plain(&rest[..start]);
        let read = self.reads.partition_point(|(length, _)| *length < end);
        let at = self
            .reads
            .get(read)
            .map_or_else(Instant::now, |(_, at)| *at);
        self.cursor = end;
        Some(Found { index, at, before })
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len().max(1))
        .position(|window| window == needle)
}

fn read_all(mut stream: UnixStream, shared: &Shared) {
    let mut chunk = [0; 4096];
    loop {
        let count = match stream.read(&mut chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Ok(count) => count,
            // A reset connection is an end like any other.
            Err(_) => 0,
        };
        let mut received = shared
            .received
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if count == 0 {
            received.closed = true;
        } else {
            received.bytes.extend_from_slice(&chunk[..count]);
            let length = received.bytes.len();
            received.reads.push((length, Instant::now()));
        }
        shared.changed.notify_all();
        if count == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn console() -> (Serial, UnixStream) {
        let (ours, guest) = UnixStream::pair().unwrap();
        (Serial::new(ours).unwrap(), guest)
    }

    #[test]
    fn waits_start_behind_the_last_match() {
        let (serial, mut guest) = console();
        guest.write_all(b"one login: two log").unwrap();
        assert_eq!(serial.wait_for("login:", LIMIT).unwrap().before, "one ");
        guest.write_all(b"in: three").unwrap();
        let found = serial.wait_for_any(&["three", "login:"], LIMIT).unwrap();
        assert_eq!((found.index, found.before.as_str()), (1, " two "));
    }

    #[test]
    fn a_wait_ends_with_the_reason_it_cannot_succeed() {
        let (serial, mut guest) = console();
        guest
            .write_all(b"[ 1] Kernel panic - not syncing: Fatal exception\r\n")
            .unwrap();
        let error = serial.wait_for("login:", LIMIT).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the guest's kernel failed: Fatal exception"
        );

        let (serial, mut guest) = console();
        guest.write_all(b"last words\r\n").unwrap();
        drop(guest);
        let error = serial.wait_for("login:", LIMIT).unwrap_err();
        assert_eq!(
            error.to_string(),
            "QEMU ended: the console's last lines:\nlast words"
        );

        let (serial, _guest) = console();
        let error = serial
            .wait_for("login:", Duration::from_millis(10))
            .unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
    }

    #[test]
    fn runs_a_command_in_an_echoing_shell() {
        let (serial, mut guest) = console();
        let answer = "printf '%s-%d\\n' BEGIN 1; ls /x; printf '\\n%s-%d-%d-\\n' END 1 $?\r\nBEGIN-1\r\nls: no /x\r\n\r\nEND-1-2-\r\nrancher$ ";
        guest.write_all(answer.as_bytes()).unwrap();
        let output = serial.run("ls /x", LIMIT).unwrap();
        assert_eq!(
            output,
            Output {
                code: 2,
                stdout: "ls: no /x".into(),
                stderr: String::new()
            }
        );
    }
}
