//! `respawn` with real processes (inventory E3-005).

#![allow(clippy::unwrap_used)] // helpers of tests, outside #[test] functions

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Respawn {
    directory: tempfile::TempDir,
    process: Child,
}

impl Respawn {
    /// `DIR` in a line becomes the directory of the test.
    fn start(lines: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let conf = directory.path().join("respawn.conf");
        let text = lines.replace("DIR", &directory.path().display().to_string());
        std::fs::write(&conf, text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_coracle"))
            .arg("respawn")
            .arg("-f")
            .arg(&conf)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { directory, process }
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
    }

    /// The numbers that a program has appended to `file`, once there are `count` of them.
    fn wait_for(&self, file: &str, count: usize) -> Vec<i32> {
        let path = self.directory.path().join(file);
        until(|| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let numbers: Vec<i32> = text.split_whitespace().flat_map(str::parse).collect();
            (numbers.len() >= count).then_some(numbers)
        })
    }
}

impl Drop for Respawn {
    fn drop(&mut self) {
        // Not SIGKILL, which would leave the programs behind; respawn itself ends within seconds.
        if let Ok(None) = self.process.try_wait() {
            signal(self.process.id() as i32, "TERM");
        }
        let _ = self.process.wait();
    }
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "nothing happened for 20 s");
        // Files and processes of another program: there is no event to wait for.
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(pid: i32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// The session that a process belongs to: field 6 of `/proc/PID/stat` (proc_pid_stat(5)).
fn session(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name
        .split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn programs_run_in_their_own_sessions_and_come_back() {
    let respawn = Respawn::start("# comment\nsh DIR/one DIR/pids\nsh DIR/one DIR/others\n");
    respawn.script("one", "echo $$ >> $1\nexec sleep 1000\n");
    let first = respawn.wait_for("pids", 1)[0];
    let other = respawn.wait_for("others", 1)[0];
    assert_eq!((session(first), session(other)), (first, other));
    signal(first, "KILL");
    let pids = respawn.wait_for("pids", 2);
    assert_ne!(pids[1], first);
    assert_eq!(
        respawn.wait_for("others", 1),
        [other],
        "the other one is left alone"
    );
}

#[test]
fn sigterm_ends_programs_and_shells_that_ignore_it() {
    let mut respawn = Respawn::start("sh DIR/stubborn DIR/pids\n");
    respawn.script(
        "stubborn",
        "trap '' TERM\necho $$ >> $1\nwhile :; do sleep 1000 & wait; done\n",
    );
    let pid = respawn.wait_for("pids", 1)[0];
    signal(respawn.process.id() as i32, "TERM");
    let status = respawn.process.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_program_that_fails_at_once_rests_and_the_others_go_on() {
    let respawn = Respawn::start("sh DIR/failing DIR/failures\nsh DIR/good DIR/pids\n");
    respawn.script("failing", "echo $$ >> $1\nexit 1\n");
    respawn.script("good", "echo $$ >> $1\nexec sleep 1000\n");
    assert_eq!(respawn.wait_for("failures", 10).len(), 10);
    let good = respawn.wait_for("pids", 1)[0];
    signal(good, "TERM");
    respawn.wait_for("pids", 2);
    assert_eq!(respawn.wait_for("failures", 10).len(), 10, "still resting");
}
