//! Waiting for the file that says that a service is ready (label `io.rancher.os.done`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;

/// Returns as soon as `file` exists; `false` when it does not after `limit`.
///
/// # Errors
/// Its directory cannot be watched.
pub(crate) async fn appears(file: PathBuf, limit: Duration) -> io::Result<bool> {
    let waited = tokio::task::spawn_blocking(move || wait(&file, limit)).await;
    waited.map_err(io::Error::other).flatten()
}

/// Sleeps in the kernel until something is made in the directory, then looks.
fn wait(file: &Path, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    let made = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, file.parent().unwrap_or(file), made)?;
    // Looked for after the watch exists: it cannot be missed.
    while !file.exists() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        // Interrupted or not, the loop looks again.
        let _ = rustix::event::poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&timeout));
        let mut names = [0; 4096];
        while rustix::io::read(&watch, &mut names).is_ok_and(|length| length > 0) {}
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_noticed_before_and_after_it_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("done");
        let long = Duration::from_secs(60);
        let waiting = tokio::spawn(appears(file.clone(), long));
        std::fs::write(directory.path().join("other"), "").unwrap();
        std::fs::rename(directory.path().join("other"), &file).unwrap();
        assert!(waiting.await.unwrap().unwrap());
        assert!(appears(file, Duration::ZERO).await.unwrap());
    }

    #[tokio::test]
    async fn what_never_comes_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("done");
        let soon = Duration::from_millis(10);
        assert!(!appears(missing.clone(), soon).await.unwrap());
        let nowhere = missing.join("done");
        assert!(appears(nowhere, Duration::from_secs(60)).await.is_err());
    }
}
