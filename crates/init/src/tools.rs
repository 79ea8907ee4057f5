//! Programs of the base layer, before any container runs: mke2fs and e2fsck for the state partition.
//!
//! They are dynamically linked. Instead of changing the root they are started through the layer's own dynamic linker.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use coracle_sys::spawn::{Command, Direct, Launcher};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::Error;

const LAYER: &str = "/usr/lib/coracle/layers/base";
#[cfg(target_arch = "x86_64")]
const LINKER: (&str, &str) = ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu");
#[cfg(target_arch = "aarch64")]
const LINKER: (&str, &str) = ("usr/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu");

/// Runs `program` of the layer and returns its exit status with everything that it printed. Only while nobody else waits for
/// children, that is before System Docker.
///
/// # Errors
/// When it cannot be started, or is killed.
pub fn run(program: &str, arguments: &[&str]) -> Result<(i32, String), Error> {
    let layer = Path::new(LAYER);
    let path = layer.join("usr/sbin").join(program);
    let failed = |source| Error::Tool {
        program: program.to_owned(),
        source,
    };
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let both = write.try_clone().map_err(failed)?;
    let command = Command::new(layer.join(LINKER.0))
        .arg("--library-path")
        .arg(layer.join(LINKER.1))
        .arg("--argv0")
        .arg(program)
        .arg(path)
        .args(arguments)
        .env("MKE2FS_CONFIG", layer.join("etc/mke2fs.conf"))
        .fd(write, 1)
        .fd(both, 2);
    let wait = Direct.launch(&command).map_err(failed)?;
    drop(command);
    let mut output = Vec::new();
    File::from(read).read_to_end(&mut output).map_err(failed)?;
    let status = wait().map_err(failed)?;
    let output = String::from_utf8_lossy(&output).trim().to_owned();
    match status.exit_status() {
        Some(code) => Ok((code, output)),
        None => Err(failed(std::io::Error::other("it was killed"))),
    }
}
