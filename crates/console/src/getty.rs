//! Login on a terminal: `getty ttyN` asks for a name, `autologin ttyN` logs `rancher` in, `recovery ttyN` logs root in
//! (inventory E3-006). The password is asked for by login(1).

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use coracle_host_network::state::STATE_FILE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::banner::Banner;
use crate::error::Error;
use crate::terminal::Terminal;

/// How long an automatic login on a screen waits for the machine's address, so that whoever looks at it learns where to connect to;
/// Enter ends the wait. Lines do not wait, and neither does anybody once the network service has settled.
const ADDRESS_WAIT: Duration = Duration::from_secs(10);

/// Who logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Whoever gives a name and the password.
    Ask,
    /// This user, without a password.
    As(&'static str),
}

/// Takes the terminal and becomes login(1). Returns `Ok` when the person at it closes the input.
///
/// # Errors
/// The terminal cannot be taken, or there is no login program.
pub fn run(terminal: &str, login: Login) -> Result<(), Error> {
    let terminal = Terminal::take(terminal)?;
    let arguments = match login {
        Login::As(user) => {
            greet(&terminal);
            vec!["-f".to_owned(), user.to_owned()]
        }
        Login::Ask => match ask(&terminal)? {
            Some(name) => vec!["--".to_owned(), name],
            None => return Ok(()),
        },
    };
    let cause = Command::new("login")
        .args(arguments)
        .env_clear()
        .env("TERM", terminal.term())
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .exec();
    Err(Error::Start {
        program: "login".to_owned(),
        cause,
    })
}

/// Shows the banner; on a screen waits for the machine's address and shows what changes meanwhile.
fn greet(terminal: &Terminal) {
    let watch = Watch::network_state();
    // Read after the watch exists: no change is missed.
    let mut banner = Banner::current();
    show(&banner);
    let end = Instant::now() + ADDRESS_WAIT;
    while terminal.is_screen() && banner.expects_address() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || wait(Some(std::io::stdin()), watch.as_ref(), Some(left)) {
            break;
        }
        show_again(&mut banner, true);
    }
}

/// Shows the banner and the prompt until somebody has typed a name; again when the addresses change meanwhile.
fn ask(terminal: &Terminal) -> Result<Option<String>, Error> {
    let watch = Watch::network_state();
    let mut banner = Banner::current();
    show(&banner);
    let mut in_place = terminal.is_screen();
    loop {
        print(&prompt(&banner));
        while !wait(Some(std::io::stdin()), watch.as_ref(), None) {
            if show_again(&mut banner, in_place) {
                print(&prompt(&banner));
            }
        }
        // From here on the banner is somewhere above.
        in_place = false;
        let mut line = [0; 256];
        // The terminal gives one line at a time.
        let length = std::io::stdin()
            .read(&mut line)
            .map_err(|cause| Error::Terminal {
                action: "read",
                path: terminal.path().to_owned(),
                cause,
            })?;
        if length == 0 {
            return Ok(None);
        }
        let typed = String::from_utf8_lossy(&line[..length]);
        match login_name(&typed) {
            Some(name) => return Ok(Some(name.to_owned())),
            None if typed.trim().is_empty() => {}
            None => print("Login incorrect\n\n"),
        }
    }
}

fn prompt(banner: &Banner) -> String {
    format!("{} login: ", banner.hostname)
}

/// Shows the banner if it has changed: in place of the one just above the cursor, or below everything. Whether it did.
fn show_again(banner: &mut Banner, in_place: bool) -> bool {
    let now = Banner::current();
    if now == *banner {
        return false;
    }
    match in_place {
        // To the start of the banner, and clear from there (console_codes(4)).
        true => print(&format!(
            "\r\x1b[{}A\x1b[J",
            banner.render().lines().count()
        )),
        false => print("\n"),
    }
    *banner = now;
    show(banner);
    true
}

/// What was typed, when it can be a user's name; login(1) must not take it for an option.
fn login_name(typed: &str) -> Option<&str> {
    let name = typed.trim();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@');
    let fits = !name.is_empty() && name.len() <= 32 && !name.starts_with('-');
    (fits && name.bytes().all(allowed)).then_some(name)
}

fn show(banner: &Banner) {
    if let Err(error) = banner.write_issue(Path::new("/")) {
        tracing::debug!("{error}");
    }
    print(&banner.render());
}

fn print(text: &str) {
    let mut out = std::io::stdout();
    // A terminal that has gone away shows itself at the next read.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Notices when the network service publishes.
struct Watch(std::os::fd::OwnedFd);

impl Watch {
    fn network_state() -> Option<Self> {
        let directory = Path::new(STATE_FILE).parent()?;
        std::fs::create_dir_all(directory).ok()?;
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let fd = inotify::init(flags).ok()?;
        inotify::add_watch(&fd, directory, inotify::WatchFlags::MOVED_TO).ok()?;
        Some(Self(fd))
    }

    /// Forgets what has been noticed.
    fn drain(&self) {
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.0, &mut buffer).is_ok_and(|length| length > 0) {}
    }
}

/// Waits for input, for news, or for the time to pass. Whether there is input.
fn wait(input: Option<std::io::Stdin>, watch: Option<&Watch>, limit: Option<Duration>) -> bool {
    let mut fds = Vec::new();
    if let Some(input) = &input {
        fds.push(PollFd::new(input, PollFlags::IN));
    }
    if let Some(watch) = watch {
        fds.push(PollFd::new(&watch.0, PollFlags::IN));
    }
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    // Interrupted or not, the caller looks again.
    let _ = poll(&mut fds, limit.as_ref());
    let ready = input.is_some() && fds.first().is_some_and(|fd| !fd.revents().is_empty());
    drop(fds);
    if let Some(watch) = watch {
        watch.drain();
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_login_may_get() {
        let table = [
            ("rancher\n", Some("rancher")),
            (" a.b-c_d@e \n", Some("a.b-c_d@e")),
            ("\n", None),
            ("-f\n", None),
            ("-froot\n", None),
            ("a b\n", None),
            ("a;b\n", None),
            ("\u{1b}[A\n", None),
        ];
        for (typed, expected) in table {
            assert_eq!(login_name(typed), expected, "{typed:?}");
        }
        assert_eq!(login_name(&"a".repeat(33)), None);
    }
}
