//! Receiving a container's terminal: the helper makes the pair inside the container and sends its master over a socket
//! (OCI runtimes: `--console-socket`).

use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::id;

/// A socket that waits for one terminal.
#[derive(Debug)]
pub struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    /// Listens in `dir`, under a short name: socket paths are limited to 107 bytes.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn listen(dir: &Path) -> io::Result<Self> {
        let path = dir.join(id::hex(&id::random::<6>()));
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    /// Where the helper connects to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal, which the helper has sent before it ended.
    ///
    /// # Errors
    /// When it has sent none.
    pub fn receive(self) -> io::Result<OwnedFd> {
        let (connection, _) = self.listener.accept()?;
        let mut name = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        recvmsg(
            &connection,
            &mut [IoSliceMut::new(&mut name)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
                && let Some(master) = descriptors.next()
            {
                return Ok(master);
            }
        }
        Err(io::Error::other("the runtime helper sent no terminal"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Nobody can do anything about a socket file that stays in a tmpfs.
        let _ = fs::remove_file(&self.path);
    }
}

/// Sets a terminal's size.
///
/// # Errors
/// When it is none.
pub fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    Ok(tcsetwinsize(
        terminal,
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )?)
}
