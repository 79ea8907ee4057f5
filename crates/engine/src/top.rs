//! `docker top`: the processes of a container as `ps` would list them.
//!
//! There is no `ps` in PID 1's world, so the columns are made here; those of `ps -ef` (the default), `ps aux` and
//! `-o NAME,…` are known.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};

/// A table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Processes {
    /// Column heads.
    pub titles: Vec<String>,
    /// One row per process.
    pub rows: Vec<Vec<String>>,
}

/// What is known of a process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Process {
    pid: i32,
    parent: i32,
    uid: u32,
    state: char,
    comm: String,
    command: String,
    terminal: String,
    /// Ticks since the process began to run.
    cpu_ticks: u64,
    /// Ticks after boot.
    started: u64,
    virtual_bytes: u64,
    resident_pages: u64,
    threads: u64,
    nice: i64,
}

/// Columns: the name for `-o`, the head, and how to show it.
type Column = (&'static str, &'static str, fn(&Process, &Machine) -> String);

/// What percentages and times of day are measured by.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// Seconds since boot.
    uptime: u64,
    /// Seconds since 1970, at boot.
    boot: u64,
    memory: u64,
    page: u64,
}

const TICKS: u64 = 100;

/// Flag of a process that was forked and has not executed anything since (kernel, `include/linux/sched.h`).
const PF_FORKNOEXEC: u64 = 0x40;
/// How long a container that was just started may take to execute its program, and how often it is looked at.
const EXEC_LIMIT: Duration = Duration::from_secs(1);
const EXEC_PAUSE: Duration = Duration::from_millis(1);

const COLUMNS: &[Column] = &[
    ("uid", "UID", |p, _| p.uid.to_string()),
    ("user", "USER", |p, _| p.uid.to_string()),
    ("pid", "PID", |p, _| p.pid.to_string()),
    ("ppid", "PPID", |p, _| p.parent.to_string()),
    ("c", "C", |p, m| (cpu_percent(p, m) / 10).to_string()),
    ("pcpu", "%CPU", |p, m| tenths(cpu_percent(p, m))),
    ("pmem", "%MEM", |p, m| {
        tenths(
            (p.resident_pages * m.page * 1000)
                .checked_div(m.memory)
                .unwrap_or(0),
        )
    }),
    ("vsz", "VSZ", |p, _| (p.virtual_bytes / 1024).to_string()),
    ("rss", "RSS", |p, m| {
        (p.resident_pages * m.page / 1024).to_string()
    }),
    ("tty", "TTY", |p, _| p.terminal.clone()),
    ("stat", "STAT", |p, _| p.state.to_string()),
    ("stime", "STIME", |p, m| {
        clock((m.boot + p.started / TICKS) % 86_400, false)
    }),
    ("start", "START", |p, m| {
        clock((m.boot + p.started / TICKS) % 86_400, false)
    }),
    ("time", "TIME", |p, _| clock(p.cpu_ticks / TICKS, true)),
    ("etime", "ELAPSED", |p, m| {
        clock(m.uptime.saturating_sub(p.started / TICKS), true)
    }),
    ("comm", "COMMAND", |p, _| p.comm.clone()),
    ("args", "COMMAND", |p, _| p.command.clone()),
    ("cmd", "CMD", |p, _| p.command.clone()),
    ("nlwp", "NLWP", |p, _| p.threads.to_string()),
    ("ni", "NI", |p, _| p.nice.to_string()),
];

const FULL: &[&str] = &["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
const BSD: &[&str] = &[
    "user", "pid", "pcpu", "pmem", "vsz", "rss", "tty", "stat", "start", "time", "args",
];

impl Engine {
    /// The processes of a running container; `arguments` are those of `ps`.
    ///
    /// # Errors
    /// Docker's text when it does not run, and for columns that are not known.
    pub async fn top(&self, reference: &str, arguments: &str) -> Result<Processes> {
        let container = self.find(reference)?;
        let (first, cgroup) = {
            let data = container.data();
            let Some(running) = &data.running else {
                return Err(Error::not_running(container.id()));
            };
            (running.pid, self.cgroup_of(&data.record))
        };
        let columns = columns(arguments)?;
        blocking(move || {
            wait_for_program(first);
            let machine = machine();
            let processes = cgroup.processes().into_iter().filter_map(read);
            let rows = processes.map(|process| {
                columns
                    .iter()
                    .map(|(_, _, show)| show(&process, &machine))
                    .collect()
            });
            Processes {
                rows: rows.collect(),
                titles: columns
                    .iter()
                    .map(|(_, title, _)| (*title).to_owned())
                    .collect(),
            }
        })
        .await
    }
}

fn columns(arguments: &str) -> Result<Vec<Column>> {
    let mut wanted: Vec<String> = Vec::new();
    let mut words = arguments.split_whitespace().peekable();
    let mut bsd = false;
    while let Some(word) = words.next() {
        let rest = word.strip_prefix('-').unwrap_or(word);
        let list = match word {
            "--format" => words.next(),
            _ if word.starts_with('-') && rest.ends_with('o') => words.next(),
            _ if rest.starts_with('o') => Some(&rest[1..]),
            _ => {
                bsd |= rest.contains('u') && !word.starts_with('-');
                continue;
            }
        };
        wanted.extend(
            list.unwrap_or_default()
                .split(',')
                .map(|name| name.trim_end_matches('=').to_ascii_lowercase()),
        );
    }
    if wanted.is_empty() {
        let names = if bsd { BSD } else { FULL };
        wanted = names.iter().map(ToString::to_string).collect();
    }
    let alias = |name: &str| match name {
        "%cpu" => "pcpu".to_owned(),
        "%mem" => "pmem".to_owned(),
        "command" => "args".to_owned(),
        "ucmd" | "ucomm" => "comm".to_owned(),
        "tt" | "tname" => "tty".to_owned(),
        "s" | "state" => "stat".to_owned(),
        "rssize" | "rsz" => "rss".to_owned(),
        "vsize" => "vsz".to_owned(),
        "nice" => "ni".to_owned(),
        "euser" | "ruser" | "uname" => "user".to_owned(),
        name => name.to_owned(),
    };
    wanted
        .iter()
        .map(|name| {
            COLUMNS
                .iter()
                .find(|(known, ..)| *known == alias(name))
                .copied()
                .ok_or_else(|| {
                    Error::Invalid(format!(
                        "Error running ps: error: unknown user-defined format specifier \"{name}\""
                    ))
                })
        })
        .collect()
}

fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let uptime = read("/proc/uptime")
        .split('.')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let boot = read("/proc/stat")
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.parse().ok())
        .unwrap_or(0);
    let memory: u64 = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    Machine {
        uptime,
        boot,
        memory: memory * 1024,
        page: rustix::param::page_size() as u64,
    }
}

/// Waits until a container's first process is its program: a start answers when the helper was told to execute it, a moment before.
fn wait_for_program(first: Pid) {
    let dir = format!("/proc/{}", first.as_raw_nonzero());
    let deadline = Instant::now() + EXEC_LIMIT;
    while Instant::now() < deadline {
        let stat = fs::read_to_string(format!("{dir}/stat"));
        let command = fs::read(format!("{dir}/cmdline"));
        match (stat, command) {
            (Ok(stat), Ok(command)) if is_before_program(&stat, &command) => {
                thread::sleep(EXEC_PAUSE)
            }
            _ => return,
        }
    }
}

/// Whether a process has yet to execute a program, or is about to: then its memory is new, and still without arguments.
fn is_before_program(stat: &str, cmdline: &[u8]) -> bool {
    let tail = stat.rsplit_once(") ").map_or("", |(_, tail)| tail);
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |at: usize| -> u64 {
        fields
            .get(at - 3)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    // A zombie has no memory.
    number(23) != 0 && (number(9) & PF_FORKNOEXEC != 0 || cmdline.is_empty())
}

fn read(pid: i32) -> Option<Process> {
    let dir = format!("/proc/{pid}");
    let stat = fs::read_to_string(format!("{dir}/stat")).ok()?;
    let status = fs::read_to_string(format!("{dir}/status")).ok()?;
    let command = fs::read(format!("{dir}/cmdline")).ok()?;
    parse(&stat, &status, &command)
}

/// `stat`, `status` and `cmdline` of `proc(5)`.
fn parse(stat: &str, status: &str, cmdline: &[u8]) -> Option<Process> {
    // The name may hold spaces and parentheses: it ends at the last one.
    let (head, tail) = stat.rsplit_once(") ")?;
    let (pid, comm) = head.split_once(" (")?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |at: usize| {
        fields
            .get(at - 3)
            .and_then(|text| text.parse::<i64>().ok())
            .unwrap_or(0)
    };
    let unsigned = |at: usize| u64::try_from(number(at)).unwrap_or(0);
    let uid = status.lines().find_map(|line| {
        line.strip_prefix("Uid:")?
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    });
    let words: Vec<String> = cmdline
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let command = if words.is_empty() {
        format!("[{comm}]")
    } else {
        words.join(" ")
    };
    Some(Process {
        pid: pid.parse().ok()?,
        comm: comm.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: i32::try_from(number(4)).ok()?,
        uid: uid.unwrap_or(0),
        terminal: terminal(unsigned(7)),
        cpu_ticks: unsigned(14) + unsigned(15),
        nice: number(19),
        threads: unsigned(20),
        started: unsigned(22),
        virtual_bytes: unsigned(23),
        resident_pages: unsigned(24),
        command,
    })
}

/// A device number as the name that people know.
fn terminal(device: u64) -> String {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    match major {
        136..=143 => format!("pts/{}", (u64::from(major) - 136) * 256 + u64::from(minor)),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => "?".to_owned(),
    }
}

/// Tenths of a percent of one processor, over the process's life.
fn cpu_percent(process: &Process, machine: &Machine) -> u64 {
    let life = machine
        .uptime
        .saturating_sub(process.started / TICKS)
        .max(1);
    process.cpu_ticks * 1000 / TICKS / life
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

fn clock(seconds: u64, with_seconds: bool) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if with_seconds {
        format!("{hours:02}:{minutes:02}:{rest:02}")
    } else {
        format!("{hours:02}:{minutes:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "42 (a (b) c) S 1 42 42 34816 42 4194304 100 0 0 0 150 50 0 0 20 0 1 0 1000 4096000 250 0";

    #[test]
    fn a_process_that_executes_its_program_yet_is_told_from_one_that_has() {
        let stat = |flags: u64, memory: u64| {
            STAT.replace("4194304", &flags.to_string())
                .replace("4096000", &memory.to_string())
        };
        for (stat, cmdline, expected) in [
            (stat(0x40_0140, 4096), "coracle\0runtime\0", true),
            (stat(0x40_0100, 4096), "", true),
            (stat(0x40_0100, 4096), "\0", false),
            (stat(0x40_0100, 4096), "sleep\x0060\0", false),
            (stat(0x40_0144, 0), "", false),
            (String::new(), "", false),
        ] {
            assert_eq!(
                is_before_program(&stat, cmdline.as_bytes()),
                expected,
                "{stat} {cmdline:?}"
            );
        }
    }

    #[test]
    fn processes_are_read_and_shown_in_columns() {
        let process = parse(
            STAT,
            "Name:\ta\nUid:\t0\t7\t0\t0\n",
            b"/bin/sh\0-c\0sleep 1\0",
        )
        .unwrap();
        let machine = Machine {
            uptime: 110,
            boot: 0,
            memory: 1 << 30,
            page: 4096,
        };
        let row = |arguments: &str| -> Vec<String> {
            columns(arguments)
                .unwrap()
                .iter()
                .map(|(_, _, show)| show(&process, &machine))
                .collect()
        };
        assert_eq!(
            row("-ef"),
            [
                "7",
                "42",
                "1",
                "2",
                "00:00",
                "pts/0",
                "00:00:02",
                "/bin/sh -c sleep 1"
            ]
        );
        assert_eq!(row("-eo pid,comm"), ["42", "a (b) c"]);
        assert_eq!(row("-o pid,%cpu,rss"), ["42", "2.0", "1000"]);
        assert_eq!(row("aux").len(), BSD.len());
        assert!(
            columns("-o nope")
                .unwrap_err()
                .to_string()
                .contains("\"nope\"")
        );
        assert!(parse("x", "", b"").is_none());
    }
}
