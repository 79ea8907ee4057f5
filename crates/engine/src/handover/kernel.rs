//! What the disk and the kernel know of running containers, for when nothing else can be read.
//!
//! A container goes on when its recorded process still is that process, and our child. Which of the inherited descriptors are
//! its streams is found by comparing them with what the process itself has open as 0, 1 and 2.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use coracle_sys::terminal::number_of;
use jiff::Timestamp;
use rustix::fs::{FileType, OFlags, Stat, fcntl_getfl, fstat, major, minor, stat};
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{SocketAddrUnix, getsockname};

use super::{ContainerState, Handover, Inherited, InputEnd, Number, OutputEnd, Run, StreamEnds};
use crate::container::{RECORD_FILE, STATE_FILE};
use crate::disk;
use crate::engine::Options;
use crate::prepare::ROOT_LABEL;
use crate::record::{MountKind, Record, State, Status};
use crate::streams::Stream;
use crate::time;

/// Major numbers of the slaves of pseudo terminals (`devices.txt` of the kernel: 136 to 143).
const SLAVES: std::ops::RangeInclusive<u32> = 136..=143;

/// When a process started, in clock ticks since the machine did (proc_pid_stat(5), field 22).
pub fn started(pid: i32) -> Option<u64> {
    stat_fields(pid).map(|(_, started)| started)
}

/// Parent and start of a process.
fn stat_fields(pid: i32) -> Option<(i32, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(i32, u64)> {
    // The name, in parentheses, may contain anything.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// Whether `pid` is our child that started then. One that has ended and was not waited for is one, too.
pub fn is_ours(pid: i32, pid_started: u64) -> bool {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    stat_fields(pid) == Some((me, pid_started))
}

/// What can be found out without a hand-over that can be read.
pub fn reconstruct(options: &Options, inherited: &Inherited) -> Handover {
    let mut handover = Handover {
        version: Handover::VERSION,
        ..Handover::default()
    };
    let containers = read_all(&options.root.join("containers"));
    let ids: BTreeMap<&str, &str> = containers
        .iter()
        .map(|(record, _)| (record.name.as_str(), record.id.as_str()))
        .collect();
    for (record, state) in &containers {
        let sockets = crate::listen::parse(record.label(crate::listen::LABEL).unwrap_or_default());
        for socket in sockets.into_iter().flatten() {
            if let Some(number) = listener(inherited, Path::new(&socket.path)) {
                handover.listeners.insert(socket.path, number);
            }
        }
        let runs = matches!(state.status, Status::Running | Status::Paused);
        if !runs || !is_ours(state.pid, state.pid_started) {
            continue;
        }
        let owner = record
            .label(ROOT_LABEL)
            .and_then(|label| label.strip_prefix("container:"))
            .and_then(|name| ids.get(name).copied())
            .unwrap_or(&record.id);
        *handover.roots.entry(owner.to_owned()).or_default() += 1;
        for point in &record.mounts {
            if let (MountKind::Volume, Some(name)) = (point.kind, &point.name) {
                let users = handover.volumes.entry(name.clone()).or_default();
                users.insert(record.id.clone());
            }
        }
        handover.containers.push(ContainerState {
            id: record.id.clone(),
            state: state.clone(),
            run: Some(Run {
                pid: state.pid,
                pid_started: state.pid_started,
                age: age(&state.started_at),
                root_of: owner.to_owned(),
                streams: streams(inherited, state.pid, record),
                ..Run::default()
            }),
            ..ContainerState::default()
        });
        handover.starts = handover.starts.max(state.start_order);
    }
    handover
}

fn read_all(dir: &Path) -> Vec<(Record, State)> {
    let read = |path: PathBuf| {
        let record = disk::read_json(&path.join(RECORD_FILE)).ok()?;
        Some((record, disk::read_json(&path.join(STATE_FILE)).ok()?))
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| read(entry.path())).collect()
}

fn age(started_at: &str) -> u64 {
    let age = time::parse(started_at)
        .map(|started| Timestamp::now().as_millisecond() - started.as_millisecond());
    age.and_then(|age| u64::try_from(age).ok()).unwrap_or(0)
}

/// Our ends of what a process has as 0, 1 and 2.
fn streams(inherited: &Inherited, pid: i32, record: &Record) -> StreamEnds {
    let theirs = |number: u8| stat(format!("/proc/{pid}/fd/{number}")).ok();
    if record.tty() {
        let Some(slave) = theirs(1).or_else(|| theirs(0)) else {
            return StreamEnds::default();
        };
        // The engine has the terminal up to three times: for its size, its output, its input.
        let masters = inherited.all(|fd| is_master_of(fd, &slave));
        let mut masters = masters.into_iter();
        return StreamEnds {
            outputs: masters
                .next()
                .map(|end| OutputEnd {
                    stream: Stream::Stdout,
                    end,
                    line: Vec::new(),
                })
                .into_iter()
                .collect(),
            terminal: masters.next(),
            input: masters.next().map(input),
        };
    }
    let pipe = |number, reads| {
        let theirs = theirs(number).filter(is_pipe)?;
        inherited.find(|fd| is_end_of(fd, &theirs, reads))
    };
    let output = |number, stream| {
        pipe(number, true).map(|end| OutputEnd {
            stream,
            end,
            line: Vec::new(),
        })
    };
    StreamEnds {
        outputs: [output(1, Stream::Stdout), output(2, Stream::Stderr)]
            .into_iter()
            .flatten()
            .collect(),
        input: pipe(0, false).map(input),
        terminal: None,
    }
}

fn input(end: Number) -> InputEnd {
    InputEnd {
        end,
        waiting: Vec::new(),
        closes: false,
    }
}

fn is_pipe(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Fifo
}

/// Whether `fd` is the reading (or writing) end of this pipe.
fn is_end_of(fd: &OwnedFd, pipe: &Stat, reads: bool) -> bool {
    let access = fcntl_getfl(fd).map(|flags| flags & OFlags::ACCMODE);
    let wanted = if reads {
        OFlags::RDONLY
    } else {
        OFlags::WRONLY
    };
    access == Ok(wanted)
        && fstat(fd).is_ok_and(|own| own.st_dev == pipe.st_dev && own.st_ino == pipe.st_ino)
}

/// Whether `fd` is the master of this terminal: both are in the same instance of devpts.
fn is_master_of(fd: &OwnedFd, slave: &Stat) -> bool {
    let number = slave.st_rdev;
    SLAVES.contains(&major(number))
        && fstat(fd).is_ok_and(|own| own.st_dev == slave.st_dev)
        && number_of(fd).is_ok_and(|own| own == minor(number))
}

/// The inherited socket that listens at `path`.
pub fn listener(inherited: &Inherited, path: &Path) -> Option<Number> {
    inherited.find(|fd| {
        let address = getsockname(fd).and_then(SocketAddrUnix::try_from);
        let bound = address.ok().and_then(|address| {
            let bytes = address.path_bytes()?.to_vec();
            Some(PathBuf::from(std::ffi::OsString::from(
                String::from_utf8(bytes).ok()?,
            )))
        });
        bound.as_deref() == Some(path) && socket_acceptconn(fd) == Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::handover::Keeper;

    #[test]
    fn parent_and_start_follow_a_name_of_any_kind() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(parse_stat(text), Some((1, 4711)));
        assert_eq!(parse_stat("7 (x"), None);
        let me = std::process::id().cast_signed();
        assert!(started(me).is_some());
        // Nobody is its own child.
        assert!(!is_ours(me, started(me).unwrap()));
    }

    #[test]
    fn the_streams_of_a_process_are_found() {
        let (out, its_out) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (its_in, input) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (other, _other) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut child = std::process::Command::new("cat")
            .stdin(its_in)
            .stdout(its_out)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut keeper = Keeper::default();
        keeper.keep(other);
        let (out, input) = (keeper.keep(out), keeper.keep(input));
        let inherited = keeper.into_inherited();
        let pid = child.id().cast_signed();
        assert!(is_ours(pid, started(pid).unwrap()));
        let found = streams(&inherited, pid, &Record::default());
        drop(inherited);
        child.wait().unwrap();
        assert_eq!(
            found,
            StreamEnds {
                outputs: vec![OutputEnd {
                    stream: Stream::Stdout,
                    end: out,
                    line: Vec::new()
                }],
                input: Some(super::input(input)),
                terminal: None,
            }
        );
    }
}
