//! Unix sockets whose paths may be longer than the kernel's 108 bytes: reached through an open directory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Binds a listening socket in `dir`.
pub(crate) fn listen(dir: &Path, name: &str) -> Result<UnixListener> {
    through_directory(dir, name, UnixListener::bind).map_err(Error::io("listen on", dir.join(name)))
}

/// Connects to a socket in `dir`.
pub(crate) fn connect(dir: &Path, name: &str) -> Result<UnixStream> {
    through_directory(dir, name, UnixStream::connect)
        .map_err(Error::io("connect to", dir.join(name)))
}

fn through_directory<T>(
    dir: &Path,
    name: &str,
    action: impl FnOnce(PathBuf) -> io::Result<T>,
) -> io::Result<T> {
    let directory = File::open(dir)?;
    action(PathBuf::from(format!(
        "/proc/self/fd/{}/{name}",
        directory.as_raw_fd()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connects_below_a_path_longer_than_a_socket_address() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let _listener = listen(&deep, "s.sock").unwrap();
        connect(&deep, "s.sock").unwrap();
    }
}
