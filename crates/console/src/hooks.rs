//! What the owner of the machine wants done when the console starts: mounts, `runcmd`, scripts (inventory A7-018 to A7-022).
//! It runs beside the login prompt, in the role `console-hooks`: a command that hangs must not lock its owner out.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use coracle_config::Config;

use crate::error::Error;
use crate::mounts;

/// Name of the role.
pub const ROLE: &str = "console-hooks";
/// Exists once everything before User Docker has been done (B10-015).
pub const CONSOLE_DONE: &str = "run/console-done";

/// Scripts that run before User Docker starts, in this order, and the one that runs after.
const SCRIPT: &str = coracle_config::paths::CLOUD_CONFIG_SCRIPT;
const START: &str = "/opt/rancher/bin/start.sh";
const RC_LOCAL: &str = "/etc/rc.local";

/// Whether anything is to be done that User Docker waits for.
pub fn before_docker(root: &Path, config: &Config) -> bool {
    !config.mounts.is_empty()
        || !config.runcmd.is_empty()
        || [SCRIPT, START].iter().any(|path| is_executable(root, path))
}

/// Whether anything is to be done at all.
pub fn any(root: &Path, config: &Config) -> bool {
    before_docker(root, config) || is_executable(root, RC_LOCAL)
}

fn is_executable(root: &Path, path: &str) -> bool {
    std::fs::metadata(root.join(path.trim_start_matches('/')))
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Starts the role in the background, in its own session.
///
/// # Errors
/// The process cannot be started.
pub fn start() -> Result<(), Error> {
    Command::new("/proc/self/exe")
        .arg0("coracle")
        .args([crate::session::ROLE, crate::consoles::CORACLE, ROLE])
        .stdin(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|cause| Error::Start {
            program: ROLE.to_owned(),
            cause,
        })
}

/// Does everything in order, logging what fails.
pub fn run(config: &Config) {
    let root = Path::new("/");
    for entry in &config.mounts {
        log(mounts::mount(entry));
    }
    for command in &config.runcmd {
        // The rest may depend on it: upstream stops here, too (B2-012).
        if let Err(error) = run_command(command) {
            tracing::error!("runcmd: {error}; the commands after it are not run");
            break;
        }
    }
    for script in [SCRIPT, START] {
        if is_executable(root, script) {
            log(run_script(script));
        }
    }
    log(done(root));
    if is_executable(root, RC_LOCAL) {
        log(run_script(RC_LOCAL));
    }
}

/// Tells the others that everything before User Docker has been done.
///
/// # Errors
/// The file cannot be made.
pub fn done(root: &Path) -> Result<(), Error> {
    let path = root.join(CONSOLE_DONE);
    std::fs::write(&path, "").map_err(Error::file("write", &path))
}

fn run_command(command: &coracle_config::Command) -> Result<(), Error> {
    match command {
        coracle_config::Command::Shell(line) => execute(&["sh", "-c", line]),
        coracle_config::Command::Words(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            execute(&words)
        }
    }
}

/// A script without `#!` is one for sh.
fn run_script(path: &str) -> Result<(), Error> {
    let start = std::fs::read(path).unwrap_or_default();
    match start.starts_with(b"#!") {
        true => execute(&[path]),
        false => execute(&["sh", path]),
    }
}

fn execute(words: &[&str]) -> Result<(), Error> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(|cause| Error::Start {
            program: (*program).to_owned(),
            cause,
        })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        program: words.join(" "),
        status,
        message: "see its output above".to_owned(),
    })
}

fn log(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::error!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn docker_waits_only_for_what_comes_before_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let none = Config::default();
        let some: Config = serde_json::from_value(json!({"runcmd": ["true"]})).unwrap();
        assert!(!any(root, &none));
        assert!(before_docker(root, &some));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/rc.local"), "").unwrap();
        assert!(!any(root, &none), "not executable");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.join("etc/rc.local"), executable).unwrap();
        assert!(any(root, &none));
        assert!(!before_docker(root, &none));
    }

    #[test]
    fn failures_name_the_command() {
        let failed = |words: &[&str]| execute(words).unwrap_err().to_string();
        assert_eq!(
            failed(&["sh", "-c", "exit 3"]),
            "sh -c exit 3 failed (exit status: 3): see its output above"
        );
        assert_eq!(
            failed(&["/no/such"]),
            "cannot run /no/such: No such file or directory (os error 2)"
        );
    }
}
