//! `ros entrypoint COMMAND`: what a system container does before its own command (inventory A7-028).
//!
//! Labelled volumes give it the host's devices under `/host/dev` and files under `*.rancher`; both are put where programs look.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The CA bundle of the machine, as `system-volumes` mounts it, and where programs look for it.
const CA_BUNDLE: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt.rancher",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// Prepares the container and becomes `command`. Returns only when that fails.
///
/// # Errors
/// When there is no command or it cannot be run. What cannot be prepared is reported on standard error and does not stop it.
pub fn run(command: &[std::ffi::OsString]) -> Result<std::convert::Infallible, Error> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::File {
            action: "run",
            path: PathBuf::new(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "no command given"),
        });
    };
    for step in [bind_devices(), copy_ca_bundle(Path::new("/"))] {
        if let Err(error) = step {
            eprintln!("entrypoint: {error}");
        }
    }
    Err(Error::File {
        action: "run",
        path: program.into(),
        source: Command::new(program).args(arguments).exec(),
    })
}

/// The host's devices as they are, with what udev adds later: `/host/dev` is mounted over `/dev`.
fn bind_devices() -> Result<(), Error> {
    let host = Path::new("/host/dev");
    // Without the volume, or when /dev is the host's already, there is nothing to do.
    if !host.join("null").exists() || same_mount(host, Path::new("/dev")) {
        return Ok(());
    }
    rustix::mount::mount_bind_recursive(host, "/dev").map_err(|e| Error::File {
        action: "mount /host/dev on",
        path: "/dev".into(),
        source: e.into(),
    })
}

fn same_mount(a: &Path, b: &Path) -> bool {
    let device = |path| rustix::fs::stat(path).map(|s| (s.st_dev, s.st_ino)).ok();
    device(a) == device(b)
}

fn copy_ca_bundle(root: &Path) -> Result<(), Error> {
    let [from, to] = CA_BUNDLE.map(|path| root.join(path.trim_start_matches('/')));
    let fail = |source| Error::File {
        action: "write",
        path: to.clone(),
        source,
    };
    let bundle = match fs::read(&from) {
        Ok(bundle) => bundle,
        Err(_) => return Ok(()),
    };
    if fs::read(&to).is_ok_and(|old| old == bundle) {
        return Ok(());
    }
    let temporary = to.with_extension("crt.tmp");
    fs::write(&temporary, bundle).map_err(fail)?;
    fs::rename(&temporary, &to).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca_bundle_of_the_machine_replaces_that_of_the_image() {
        let root = tempfile::tempdir().unwrap();
        let certs = root.path().join("etc/ssl/certs");
        fs::create_dir_all(&certs).unwrap();
        let own = certs.join("ca-certificates.crt");
        fs::write(&own, "image").unwrap();
        copy_ca_bundle(root.path()).unwrap();
        assert_eq!(fs::read_to_string(&own).unwrap(), "image");
        fs::write(certs.join("ca-certificates.crt.rancher"), "machine").unwrap();
        copy_ca_bundle(root.path()).unwrap();
        assert_eq!(fs::read_to_string(&own).unwrap(), "machine");
    }

    #[test]
    fn missing_command_is_named() {
        let error = run(&["/nowhere/command".into()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot run /nowhere/command: No such file or directory (os error 2)"
        );
    }
}
