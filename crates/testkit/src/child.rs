use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// What a finished command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 plus the signal's number for a killed process, as shells count.
    pub code: i32,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// Standard output without surrounding white space when the exit code is 0.
    pub fn success(&self) -> Option<&str> {
        (self.code == 0).then(|| self.stdout.trim())
    }
}

/// Runs a command with `input` on its standard input. `Ok(None)` means that the limit was reached; the command is then killed.
///
/// # Errors
/// The command cannot be started or waited for.
pub fn run_with_deadline(
    mut command: Command,
    input: Vec<u8>,
    limit: Duration,
) -> std::io::Result<Option<Output>> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading its input is no error of ours.
        std::thread::spawn(move || stdin.write_all(&input));
    }
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let ended = wait_until(&mut child, Instant::now() + limit)?;
    if !ended {
        child.kill()?;
    }
    let status = child.wait()?;
    if !ended {
        return Ok(None);
    }
    let text = |thread: Option<std::thread::JoinHandle<Vec<u8>>>| {
        let bytes = thread
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Some(Output {
        code: exit_code(status),
        stdout: text(stdout),
        stderr: text(stderr),
    }))
}

fn collect(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth having.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

/// Waits for a child's end; false when the deadline came first.
pub(crate) fn wait_until(child: &mut Child, deadline: Instant) -> std::io::Result<bool> {
    if child.try_wait()?.is_some() {
        return Ok(true);
    }
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Ok(true);
    };
    wait_for_pid(pid, deadline)
}

/// Waits for the end of any process; false when the deadline came first.
pub(crate) fn wait_for_pid(pid: Pid, deadline: Instant) -> std::io::Result<bool> {
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&handle, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn returns_both_streams_and_the_exit_code() {
        let limit = Duration::from_secs(20);
        let output =
            run_with_deadline(shell("cat; echo no >&2; exit 3"), b"in".to_vec(), limit).unwrap();
        let expected = Output {
            code: 3,
            stdout: "in".into(),
            stderr: "no\n".into(),
        };
        assert_eq!(output, Some(expected));
    }

    #[test]
    fn counts_signals_as_shells_do() {
        let output =
            run_with_deadline(shell("kill -TERM $$"), Vec::new(), Duration::from_secs(20)).unwrap();
        assert_eq!(output.map(|output| output.code), Some(143));
    }

    #[test]
    fn ends_a_command_at_its_limit() {
        let mut command = Command::new("sleep");
        command.arg("1000");
        let output = run_with_deadline(command, Vec::new(), Duration::from_millis(50)).unwrap();
        assert_eq!(output, None);
    }
}
