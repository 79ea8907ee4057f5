//! When the engine may start: at once, unless the owner has files to be written or commands to be run first.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use coracle_config::Config;
use coracle_console::hooks;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::error::Error;

/// Commands that take longer do not keep Docker waiting any more: containers with restart policies are waiting, too.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until the console has written `write_files`, which may be Docker's configuration, and has run mounts, `runcmd` and
/// scripts, which may prepare something for Docker (A7-027). Not when there are none, and for commands no longer than until
/// somebody asks for Docker: one of them may need it.
pub fn wait(config: &Config, listening: impl AsFd) -> Result<(), Error> {
    let root = Path::new("/");
    let done = root.join(hooks::CONSOLE_DONE);
    let commands = hooks::before_docker(root, config);
    if !commands && config.write_files.is_empty() || done.exists() {
        return Ok(());
    }
    tracing::info!("waiting for the console's files and boot commands");
    let fault = || Error::system("watch for the console");
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let watch = inotify::init(flags).map_err(fault())?;
    inotify::add_watch(&watch, "/run", inotify::WatchFlags::CREATE).map_err(fault())?;
    let end = Instant::now() + LIMIT;
    // Looked for after the watch exists: it cannot be missed.
    while !done.exists() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            tracing::warn!(
                "the console's files and boot commands take longer than {} s; starting",
                LIMIT.as_secs()
            );
            break;
        }
        let mut fds = vec![PollFd::new(&watch, PollFlags::IN)];
        if commands {
            fds.push(PollFd::new(&listening, PollFlags::IN));
        }
        let limit = Timespec::try_from(left).ok();
        // Interrupted or not, the loop looks again.
        let _ = poll(&mut fds, limit.as_ref());
        if fds.get(1).is_some_and(|asked| !asked.revents().is_empty()) {
            tracing::info!("somebody asks for Docker; starting");
            break;
        }
        let mut buffer = [0; 4096];
        while rustix::io::read(&watch, &mut buffer).is_ok_and(|length| length > 0) {}
    }
    Ok(())
}
