//! The root of the control group tree (kernel: Documentation/admin-guide/cgroup-v2.rst).

use std::fs;
use std::path::Path;

use crate::Error;

const ROOT: &str = "/sys/fs/cgroup";
/// PID 1 leaves the root group, so that what it uses can be measured and limited like everything else.
const OWN: &str = "/sys/fs/cgroup/init.scope";

/// Moves PID 1 into its own group and hands all controllers down.
///
/// # Errors
/// When the hierarchy is not cgroup v2, or refuses.
pub fn set_up() -> Result<(), Error> {
    let own = Path::new(OWN);
    match fs::create_dir(own) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("make", own)(error));
        }
        _ => {}
    }
    let procs = own.join("cgroup.procs");
    fs::write(&procs, "0").map_err(Error::io("join", &procs))?;
    let available = Path::new(ROOT).join("cgroup.controllers");
    let controllers = fs::read_to_string(&available).map_err(Error::io("read", &available))?;
    let enabled = Path::new(ROOT).join("cgroup.subtree_control");
    let all: Vec<String> = controllers
        .split_ascii_whitespace()
        .map(|controller| format!("+{controller}"))
        .collect();
    // Together is quicker; one by one if that fails: a controller that cannot be used must not cost the others.
    if fs::write(&enabled, all.join(" ")).is_err() {
        for controller in &all {
            let _ = fs::write(&enabled, controller);
        }
    }
    let now = fs::read_to_string(&enabled).unwrap_or_default();
    for needed in ["cpu", "memory", "pids"] {
        if !now
            .split_ascii_whitespace()
            .any(|controller| controller == needed)
        {
            return Err(Error::NoController { name: needed });
        }
    }
    Ok(())
}
