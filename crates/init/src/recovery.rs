//! The recovery shell: what a person gets instead of a kernel panic (inventory A2-024, A8-007, A8-008).
//!
//! A root shell of busybox opens on every active console. Leaving one of them (`exit`) ends all and tries the failed phase again;
//! busybox's `reboot`, `poweroff` and `halt` work, and so does Ctrl-Alt-Del.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use coracle_sys::spawn;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, ioctl_tiocsctty, kill_process, pidfd_open, setsid, wait,
    waitpid,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use tokio::signal::unix::{SignalKind, signal};

use crate::consoles::{Consoles, terminals};
use crate::power::PowerAction;

/// Where busybox may be: in the initrd, or in the system image.
const BUSYBOX: [&str; 3] = [
    "/bin/busybox",
    "/usr/bin/busybox",
    "/usr/lib/coracle/layers/base/usr/bin/busybox",
];

/// Opens shells and returns when a person wants the boot to go on.
pub fn enter(consoles: &Consoles, phase: &str, reason: &str) {
    consoles.say(&format!(
        "\nThe boot stopped at \"{phase}\":\n  {}\n",
        reason.replace('\n', "\n  ")
    ));
    let Some(busybox) = busybox() else {
        consoles.say("There is no shell in this image. Ctrl-Alt-Del restarts the machine; here the boot is tried again in a minute.");
        std::thread::sleep(std::time::Duration::from_secs(60));
        return;
    };
    consoles.say(
        "A recovery shell is open on every console. \"exit\" tries again; \"reboot\" and \"poweroff\" do what they say.\n",
    );
    install_applets(busybox);
    // Its own small runtime: this may run before, or instead of, System Docker's.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(consoles, busybox)),
        Err(error) => consoles.say(&format!("cannot open a recovery shell: {error}")),
    }
}

fn busybox() -> Option<&'static Path> {
    BUSYBOX.iter().map(Path::new).find(|path| path.exists())
}

/// Links all applets into a directory of the shell's `PATH`.
fn install_applets(busybox: &Path) {
    let directory = Path::new(APPLETS);
    let made = std::fs::create_dir_all(directory);
    let install = spawn::Command::new(busybox)
        .arg("--install")
        .arg("-s")
        .arg(APPLETS);
    if made.is_ok()
        && let Ok(pid) = install.spawn()
    {
        // Not collected by anyone else yet, or collected by the reaper: either way it is over when this returns.
        let _ = waitpid(Some(pid), WaitOptions::empty());
    }
}

const APPLETS: &str = "/run/coracle/bin";

async fn serve(consoles: &Consoles, busybox: &Path) {
    let mut shells: Vec<Shell> = terminals()
        .into_iter()
        .filter_map(|terminal| Shell::open(consoles, busybox, terminal))
        .collect();
    let signals = watch_signals(consoles);
    loop {
        tokio::select! {
            power = next_signal(&signals) => {
                consoles.say(&format!("recovery: {power}"));
                let refused = power.now();
                consoles.say(&format!("recovery: cannot {power}: {refused}"));
            }
            () = any_ended(&mut shells) => break,
        }
    }
    for shell in &shells {
        let _ = kill_process(shell.pid, Signal::HUP);
        let _ = kill_process(shell.pid, Signal::KILL);
    }
    while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
}

/// A shell on one terminal.
struct Shell {
    pid: Pid,
    ended: tokio::task::JoinHandle<()>,
}

impl Shell {
    fn open(consoles: &Consoles, busybox: &Path, terminal: PathBuf) -> Option<Self> {
        let command = spawn::Command::new("/proc/self/exe")
            .arg0("coracle")
            .arg("console-shell")
            .arg(&terminal)
            .arg(busybox)
            .env("PATH", format!("{APPLETS}:/usr/sbin:/usr/bin:/sbin:/bin"))
            .env("TERM", "linux")
            .env("HOME", "/root");
        let opened = command
            .spawn()
            .and_then(|pid| Ok((pid, pidfd_open(pid, PidfdFlags::empty())?)));
        match opened {
            Ok((pid, pidfd)) => {
                // A pidfd tells the end even when another part of the process collects the status.
                let ended = tokio::task::spawn_blocking(move || {
                    while poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None)
                        == Err(rustix::io::Errno::INTR)
                    {}
                    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
                });
                Some(Self { pid, ended })
            }
            Err(error) => {
                consoles.say(&format!(
                    "recovery: no shell on {}: {error}",
                    terminal.display()
                ));
                None
            }
        }
    }
}

/// Ends with the first shell; never when there is none, so that only a signal helps.
async fn any_ended(shells: &mut [Shell]) {
    if shells.is_empty() {
        return std::future::pending().await;
    }
    let mut ends: Vec<_> = shells.iter_mut().map(|shell| &mut shell.ended).collect();
    std::future::poll_fn(|context| {
        let over = ends
            .iter_mut()
            .any(|end| std::pin::Pin::new(end).poll(context).is_ready());
        if over {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

type Watched = tokio::sync::Mutex<tokio::sync::mpsc::Receiver<PowerAction>>;

/// The signals of Coracle's own power commands, and those of busybox's.
fn watch_signals(consoles: &Consoles) -> Watched {
    const SIGUSR1: i32 = 10;
    const SIGUSR2: i32 = 12;
    const SIGTERM: i32 = 15;
    let busybox = [
        (SIGTERM, PowerAction::Reboot),
        (SIGUSR2, PowerAction::PowerOff),
        (SIGUSR1, PowerAction::Halt),
    ];
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    for (number, power) in PowerAction::signals(crate::REALTIME_MINIMUM)
        .into_iter()
        .chain(busybox)
    {
        match signal(SignalKind::from_raw(number)) {
            Ok(mut stream) => {
                let sender = sender.clone();
                tokio::spawn(async move {
                    while stream.recv().await.is_some() {
                        let _ = sender.send(power).await;
                    }
                });
            }
            Err(error) => consoles.log(&format!("cannot catch signal {number}: {error}")),
        }
    }
    tokio::sync::Mutex::new(receiver)
}

async fn next_signal(signals: &Watched) -> PowerAction {
    match signals.lock().await.recv().await {
        Some(power) => power,
        None => std::future::pending().await,
    }
}

/// Role `console-shell TERMINAL BUSYBOX`: makes the terminal its own and becomes a shell on it.
///
/// # Errors
/// When the terminal cannot be opened or the shell not be executed.
pub fn console_shell(terminal: &Path, busybox: &Path) -> io::Result<ExitCode> {
    setsid()?;
    let terminal = OpenOptions::new().read(true).write(true).open(terminal)?;
    ioctl_tiocsctty(&terminal)?;
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    dup2_stderr(&terminal)?;
    Err(Command::new(busybox)
        .arg0("sh")
        .arg("-i")
        .env("PS1", "recovery# ")
        .current_dir("/")
        .exec())
}
