//! `respawn [-f FILE]`: keeps the programs of `/etc/respawn.conf` running (inventory E3-005).

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;
use crate::session;

/// Default of `-f`.
pub const CONFIGURATION: &str = "/etc/respawn.conf";
/// A program that was started this often …
const MOST_STARTS: usize = 10;
/// … within this time rests …
const WINDOW: Duration = Duration::from_secs(10);
/// … for this long before the next start. Upstream gave such a line up for good (E3-005); but a serial adapter may be
/// plugged in again, and a full disk emptied.
const REST: Duration = Duration::from_secs(10);
/// Programs that have not ended this long after SIGTERM are left to the engine, which kills the container.
const GRACE: Duration = Duration::from_secs(3);

/// The programs of a configuration: one per line, words separated by blanks, no quoting; `#` starts a comment.
pub fn parse(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect()
}

/// The file that the command line names.
///
/// # Errors
/// Anything but `-f FILE`.
pub fn configuration(arguments: &[std::ffi::OsString]) -> Result<PathBuf, Error> {
    match arguments {
        [] => Ok(PathBuf::from(CONFIGURATION)),
        [flag, file] if flag == "-f" => Ok(PathBuf::from(file)),
        _ => Err(Error::Config {
            key: "respawn".to_owned(),
            message: "usage: respawn [-f FILE]".to_owned(),
        }),
    }
}

/// When a line's program was started lately, to notice one that cannot stay up.
#[derive(Debug, Default)]
struct Starts(Vec<Instant>);

impl Starts {
    /// How long to wait before a start that is wanted at `now`.
    fn pause(&mut self, now: Instant) -> Duration {
        self.0.retain(|&start| now.duration_since(start) < WINDOW);
        if self.0.len() >= MOST_STARTS {
            self.0.clear();
            return REST;
        }
        self.0.push(now);
        Duration::ZERO
    }
}

struct Line {
    words: Vec<String>,
    starts: Starts,
}

/// Runs until SIGTERM, which goes on to every program.
///
/// # Errors
/// The configuration cannot be read, or signals are unavailable.
pub fn run(path: &Path) -> Result<(), Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Signals)?
        .block_on(supervise(parse(&text)))
}

async fn supervise(programs: Vec<Vec<String>>) -> Result<(), Error> {
    let mut child = signal(SignalKind::child()).map_err(Error::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    // A console without programs (`rancher.ssh.daemon: false` and no terminal) stays, so that it can be entered.
    let mut lines: Vec<Line> = programs
        .into_iter()
        .map(|words| Line {
            words,
            starts: Starts::default(),
        })
        .collect();
    let mut running: BTreeMap<i32, usize> = BTreeMap::new();
    // Lines to start, each with its moment.
    let begin = Instant::now();
    let mut due: Vec<(Instant, usize)> = (0..lines.len()).map(|index| (begin, index)).collect();
    loop {
        let now = Instant::now();
        for index in take_due(&mut due, now) {
            let pause = lines[index].starts.pause(now);
            if pause.is_zero() {
                if let Some(pid) = start(&lines[index].words) {
                    running.insert(pid, index);
                    continue;
                }
                due.push((now, index));
            } else {
                let line = lines[index].words.join(" ");
                tracing::error!(
                    "{line:?} does not stay up; next try in {} s",
                    pause.as_secs()
                );
                due.push((now + pause, index));
            }
        }
        let next = due.iter().map(|&(moment, _)| moment).min();
        tokio::select! {
            _ = child.recv() => {
                let ended = reap().into_iter().filter_map(|pid| running.remove(&pid));
                due.extend(ended.map(|index| (Instant::now(), index)));
            }
            () = until(next) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    for &pid in running.keys() {
        signal_session(pid);
    }
    let end = tokio::time::Instant::now() + GRACE;
    while !running.is_empty() {
        tokio::select! {
            _ = child.recv() => reap().into_iter().for_each(|pid| { running.remove(&pid); }),
            () = tokio::time::sleep_until(end) => break,
        }
    }
    Ok(())
}

/// Removes the lines whose moment has come.
fn take_due(due: &mut Vec<(Instant, usize)>, now: Instant) -> Vec<usize> {
    let ready = due.extract_if(.., |&mut (moment, _)| moment <= now);
    ready.map(|(_, index)| index).collect()
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Starts a program in a session of its own. It is reaped by number with all the others, orphans of the console included.
fn start(words: &[String]) -> Option<i32> {
    let spawned = Command::new("/proc/self/exe")
        .arg0("coracle")
        .arg(session::ROLE)
        .args(words)
        .stdin(Stdio::null())
        .spawn();
    match spawned {
        Ok(child) => Some(child.id() as i32),
        Err(error) => {
            tracing::error!("cannot start {:?}: {error}", words.join(" "));
            None
        }
    }
}

/// Collects every child that has ended: the programs, and orphans that exec left to this process.
fn reap() -> Vec<i32> {
    let mut ended = Vec::new();
    while let Ok(Some((pid, _))) = rustix::process::wait(WaitOptions::NOHANG) {
        ended.push(pid.as_raw_nonzero().get());
    }
    ended
}

/// Asks a program and the rest of its process group to end. Shells ignore SIGTERM and heed SIGHUP.
fn signal_session(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else {
        return;
    };
    for signal in [Signal::TERM, Signal::HUP] {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_per_line() {
        let text = "# comment\n\n/usr/bin/coracle getty  tty1\n  # indented comment\n /usr/sbin/sshd -D\t-e \n";
        let words: Vec<String> = parse(text).iter().map(|words| words.join("|")).collect();
        assert_eq!(
            words,
            ["/usr/bin/coracle|getty|tty1", "/usr/sbin/sshd|-D|-e"]
        );
    }

    #[test]
    fn a_program_that_does_not_stay_up_rests() {
        let mut starts = Starts::default();
        let begin = Instant::now();
        let mut pause_at = |seconds| starts.pause(begin + Duration::from_secs(seconds)).as_secs();
        let pauses: Vec<u64> = (0..11).map(|_| pause_at(0)).collect();
        assert_eq!(pauses, [vec![0; 10], vec![10]].concat());
        assert_eq!(pause_at(10), 0);
        let slow: Vec<u64> = (2..20).map(|tens| pause_at(tens * 10)).collect();
        assert_eq!(slow, [0; 18], "ending every ten seconds is allowed");
    }

    #[test]
    fn command_line() {
        let parsed = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(Into::into).collect();
            configuration(&words).map_err(|error| error.to_string())
        };
        assert_eq!(parsed(&[]), Ok("/etc/respawn.conf".into()));
        assert_eq!(parsed(&["-f", "/x"]), Ok("/x".into()));
        assert_eq!(
            parsed(&["/x"]),
            Err("respawn: usage: respawn [-f FILE]".to_owned())
        );
    }
}
