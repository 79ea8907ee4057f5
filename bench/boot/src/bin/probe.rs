//! Runs in the guest, the same on both sides, started by the kernel as `rdinit=/probe`.
//!
//! As PID 1 it leaves a child behind and becomes `/init`. The child asks both Docker sockets until they answer and then tells
//! memory and processes every second, on the second serial port; the host notes when each line arrives. It stays in the initial
//! root directory, out of every container and unit, and sees the running system through `/proc/1/root`: its working directory is
//! a proc mounted for it alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

const SELF: &str = "/probe";
const PROC: &str = "/probe-proc";
const PORT: &str = "/probe-port";

/// Between two questions; nothing tells a stranger that a socket has begun to answer.
const PAUSE: Duration = Duration::from_millis(20);

fn main() -> io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("watch") {
        return watch();
    }
    if let Err(error) = Command::new(SELF).arg("watch").spawn() {
        eprintln!("probe: {error}");
    }
    Err(Command::new("/init")
        .args(std::env::args_os().skip(1))
        .exec())
}

fn watch() -> io::Result<()> {
    mount("proc", PROC, "proc", MountFlags::empty(), None)?;
    std::env::set_current_dir(PROC)?;
    unmount(PROC, UnmountFlags::DETACH)?;
    fs::remove_dir(PROC)?;
    // ttyS1, see Documentation/admin-guide/devices.txt of the kernel.
    mknodat(
        CWD,
        PORT,
        FileType::CharacterDevice,
        Mode::RUSR | Mode::WUSR,
        makedev(4, 65),
    )?;
    let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap_or_default();
    let mut port = OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(PORT)?;
    writeln!(port, "probe-started")?;
    let system = ask_in_thread("system-docker", port.try_clone()?);
    let user = ask_in_thread("docker", port.try_clone()?);
    // A peer without System Docker never answers there.
    drop(system);
    let _ = user.join();
    loop {
        let sample = format!(
            "sample {} {} {}\n",
            used_kib()?,
            user_processes()?,
            pss_of_init_kib()?
        );
        port.write_all(sample.as_bytes())?;
        thread::sleep(Duration::from_secs(1));
    }
}

fn ask_in_thread(name: &'static str, mut port: File) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let path = format!("1/root/run/{name}.sock");
        while !answers(&path).unwrap_or(false) {
            thread::sleep(PAUSE);
        }
        // Without the port there is nobody to tell.
        let _ = port.write_all(format!("answers {name}\n").as_bytes());
    })
}

fn answers(path: &str) -> io::Result<bool> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer.ends_with(b" 200"))
}

fn used_kib() -> io::Result<u64> {
    let text = fs::read_to_string("meminfo")?;
    Ok(field_kib(&text, "MemTotal:").saturating_sub(field_kib(&text, "MemAvailable:")))
}

/// Processes that are neither kernel threads (children of PID 2) nor this probe.
fn user_processes() -> io::Result<usize> {
    let own = std::process::id();
    let mut count = 0;
    for entry in fs::read_dir(".")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that has ended in the meantime is none.
        let status = fs::read_to_string(format!("{pid}/status")).unwrap_or_default();
        let parent = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .map(str::trim);
        if pid != 2 && pid != own && parent.is_some_and(|parent| parent != "2") {
            count += 1;
        }
    }
    Ok(count)
}

fn pss_of_init_kib() -> io::Result<u64> {
    Ok(field_kib(&fs::read_to_string("1/smaps_rollup")?, "Pss:"))
}

fn field_kib(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
