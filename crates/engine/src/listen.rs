//! Sockets that the engine opens for containers (label `io.rancher.os.listen`) and keeps over their restarts: a client
//! that connects while the container is down waits instead of failing.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::{Doing, Error, Result};

/// The label: `PATH[:MODE[:UID[:GID]]]`, several separated by commas.
pub const LABEL: &str = "io.rancher.os.listen";

/// One socket of the label.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Socket {
    /// Absolute path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Parses the label's value.
///
/// # Errors
/// Names the part that is wrong.
pub fn parse(label: &str) -> Result<Vec<Socket>> {
    label
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(parse_one)
        .collect()
}

fn parse_one(text: &str) -> Result<Socket> {
    let invalid = |why: &str| {
        Error::Invalid(format!(
            "invalid label {LABEL}: \"{text}\": {why}; expected PATH[:MODE[:UID[:GID]]]"
        ))
    };
    let mut parts = text.split(':');
    let path = parts.next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(invalid("the path must be absolute"));
    }
    let mode = match parts.next() {
        None => 0o600,
        Some(octal) => u32::from_str_radix(octal, 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .ok_or_else(|| invalid("the mode must be octal permissions"))?,
    };
    let mut number = || match parts.next() {
        None => Ok(0),
        Some(text) => text
            .parse()
            .map_err(|_| invalid("owner and group must be numbers")),
    };
    let (uid, gid) = (number()?, number()?);
    if parts.next().is_some() {
        return Err(invalid("too many parts"));
    }
    Ok(Socket {
        path: path.to_owned(),
        mode,
        uid,
        gid,
    })
}

/// The open sockets, by path.
#[derive(Debug, Default)]
pub struct Listeners {
    open: Mutex<HashMap<String, OwnedFd>>,
}

impl Listeners {
    /// Opens the sockets that are not open yet, and gives descriptors of all of them in the given order.
    ///
    /// # Errors
    /// When a socket cannot be bound.
    pub fn descriptors(&self, sockets: &[Socket]) -> Result<Vec<OwnedFd>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        sockets
            .iter()
            .map(|socket| {
                if !open.contains_key(&socket.path) {
                    open.insert(socket.path.clone(), bind(socket)?);
                }
                open[&socket.path]
                    .try_clone()
                    .doing(|| format!("duplicate socket {}", socket.path))
            })
            .collect()
    }
}

impl Listeners {
    /// Takes over sockets that a predecessor has opened.
    pub fn new(open: HashMap<String, OwnedFd>) -> Self {
        Self {
            open: Mutex::new(open),
        }
    }

    /// Copies of all.
    ///
    /// # Errors
    /// When there is no room for a descriptor.
    pub fn copies(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = open
            .iter()
            .map(|(path, fd)| Ok((path.clone(), fd.try_clone()?)));
        copies.collect()
    }
}

fn bind(socket: &Socket) -> Result<OwnedFd> {
    let path = Path::new(&socket.path);
    let doing = || format!("listen on {}", socket.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).doing(doing)?;
    }
    // A socket file without a listener behind it is left over from a former engine.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(doing(), error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).doing(doing)?;
    fs::set_permissions(path, Permissions::from_mode(socket.mode)).doing(doing)?;
    chown(path, Some(socket.uid), Some(socket.gid)).doing(doing)?;
    Ok(listener.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn labels_name_sockets_with_mode_and_owner() {
        let socket = |path: &str, mode, uid, gid| Socket {
            path: path.into(),
            mode,
            uid,
            gid,
        };
        assert_eq!(
            parse("/run/docker.sock:0660:0:1101, /run/x").unwrap(),
            [
                socket("/run/docker.sock", 0o660, 0, 1101),
                socket("/run/x", 0o600, 0, 0)
            ]
        );
        for bad in ["x", "/x:9", "/x:0660:root", "/x:0660:0:0:0", "/x:1777"] {
            assert!(
                parse(bad)
                    .unwrap_err()
                    .to_string()
                    .contains("expected PATH[:MODE[:UID[:GID]]]"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_socket_is_opened_once_and_clients_wait_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/x.sock");
        let sockets = parse(&format!("{}:0660", path.display())).unwrap();
        let listeners = Listeners::default();
        let first = listeners.descriptors(&sockets).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        drop(first);
        let second = listeners.descriptors(&sockets).unwrap();
        UnixListener::from(second.into_iter().next().unwrap())
            .accept()
            .unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
    }
}
