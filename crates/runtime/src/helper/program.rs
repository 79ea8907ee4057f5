//! The last steps in the container: find the program, restrict the process, execute.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::capabilities;
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use oci_spec::runtime::{LinuxCapabilities, Process, Spec};
use rustix::fs::{Access, AtFlags, CWD, accessat, fchown, fstat, makedev, readlink, rename};
use rustix::process::{Uid, getpid};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{Winsize, tcsetwinsize};
use serde::{Deserialize, Serialize};

use super::device_nodes::DeviceNodes;
use super::filter::Filter;
use crate::failure::{self, FailureKind};

/// Docker's `PATH` when neither the image nor the user sets one.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Replaces libcontainer's executor. Unlike it, it answers in Docker's words, keeps the order of the environment, sets
/// `LISTEN_PID` truly, and gives `SIGPIPE` back its default action.
#[derive(Clone, Default)]
pub struct Program {
    env: Rc<RefCell<HashMap<String, String>>>,
    restrictions: Restrictions,
    device_nodes: DeviceNodes,
    /// Whether the process waits for its start, so that the helper no longer listens when it executes.
    waits: bool,
}

/// What a process gives up before it executes.
///
/// libcontainer could do it, but not for processes that are added later (it forgets the filter), without the answer
/// `ENOSYS` to system calls that are newer than the filter, with masks and values of conditions swapped (0.7), and each
/// time from the beginning. So it is not told of these, and the process keeps its capabilities until here: without
/// `no_new_privileges`, installing a filter needs them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Restrictions {
    pub capabilities: Option<LinuxCapabilities>,
    /// Whether there is a filter. Without a default: a file that does not say so is none of ours.
    pub is_filtered: bool,
    #[serde(skip)]
    pub filter: Option<Filter>,
    pub no_new_privileges: bool,
}

impl Program {
    /// For the first process of a container.
    pub fn first(restrictions: Restrictions, device_nodes: DeviceNodes) -> Self {
        Self {
            env: Rc::default(),
            restrictions,
            device_nodes,
            waits: true,
        }
    }

    /// For a process that is added to a running container.
    pub fn added(restrictions: Restrictions) -> Self {
        Self {
            env: Rc::default(),
            restrictions,
            device_nodes: DeviceNodes::default(),
            waits: false,
        }
    }

    fn environment(&self, spec: &Spec) -> Vec<String> {
        let given = spec
            .process()
            .as_ref()
            .and_then(|p| p.env().clone())
            .unwrap_or_default();
        let mut all = self.env.borrow().clone();
        if all.contains_key("LISTEN_FDS") {
            all.insert("LISTEN_PID".to_owned(), getpid().as_raw_pid().to_string());
        }
        let mut ordered = Vec::with_capacity(all.len());
        for entry in &given {
            let key = entry.split('=').next().unwrap_or_default();
            if let Some(value) = all.remove(key) {
                ordered.push(format!("{key}={value}"));
            }
        }
        let mut rest: Vec<_> = all
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        rest.sort();
        ordered.extend(rest);
        ordered
    }

    fn find(&self, spec: &Spec) -> Result<(PathBuf, Vec<String>), (FailureKind, String)> {
        let args = spec
            .process()
            .as_ref()
            .and_then(|p| p.args().clone())
            .unwrap_or_default();
        let name = args.first().cloned().unwrap_or_default();
        let env = spec
            .process()
            .as_ref()
            .and_then(|p| p.env().clone())
            .unwrap_or_default();
        let path = env
            .iter()
            .rev()
            .find_map(|e| e.strip_prefix("PATH="))
            .unwrap_or(DEFAULT_PATH);
        find_executable(&name, path).map(|path| (path, args))
    }
}

impl Executor for Program {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        if let Some(process) = spec.process() {
            prepare_stdio(process);
        }
        if self.waits {
            name_core(Path::new("/dev"));
        }
        // Restricted before the search: the program must be found with the rights that the process will have.
        self.device_nodes
            .make()
            .and_then(|()| self.restrictions.apply())
            .map_err(|message| (FailureKind::Other, message))
            .and_then(|()| self.find(spec))
            .map(drop)
            .map_err(|(kind, message)| {
                failure::tell(kind, &message);
                ExecutorValidationError::ArgValidationError(message)
            })
    }

    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        *self.env.borrow_mut() = envs;
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let (kind, message) = match self.find(spec) {
            Ok((path, args)) => {
                let error = coracle_sys::exec::replace(&path, &args, &self.environment(spec));
                (
                    failure::kind_of(&error),
                    format!("exec {}: {}", path.display(), failure::errno_text(&error)),
                )
            }
            Err(found) => found,
        };
        // Nobody reads the helper's log after the start, but the container's stderr is kept.
        if self.waits {
            eprintln!("{message}");
        }
        failure::tell(kind, &message);
        Err(ExecutorError::Other(message))
    }
}

impl Restrictions {
    /// Moves what `process` must give up over to here.
    pub fn take_from(&mut self, process: &mut Process) {
        self.capabilities = process.capabilities().clone();
        self.no_new_privileges = process.no_new_privileges() == Some(true);
        process.set_capabilities(None);
    }

    fn apply(&self) -> Result<(), String> {
        // With no_new_privileges the filter comes last, so that it need not allow the calls in between.
        if !self.no_new_privileges {
            self.filter()?;
        }
        if let Some(sets) = &self.capabilities {
            capabilities::drop_privileges(sets, create_syscall().as_ref())
                .map_err(|e| format!("capabilities: {e}"))?;
        }
        if self.no_new_privileges {
            self.filter()?;
        }
        Ok(())
    }

    fn filter(&self) -> Result<(), String> {
        match &self.filter {
            Some(filter) => filter
                .install()
                .map_err(|error| format!("seccomp filter: {error}")),
            None if self.is_filtered => Err("seccomp filter: it is missing".to_owned()),
            None => Ok(()),
        }
    }
}

/// Gives the process its terminal size and its pipes, as runc does and libcontainer does not.
///
/// A user must be able to open `/dev/stdout`, which is the pipe that the engine made as root. What cannot be given, a
/// file on a read-only file system or `/dev/null`, is left as it is.
fn prepare_stdio(process: &Process) {
    let streams: [(BorrowedFd<'_>, _); 3] = [
        (stdin(), "stdin"),
        (stdout(), "stdout"),
        (stderr(), "stderr"),
    ];
    if process.terminal() == Some(true)
        && let Some(size) = process.console_size()
    {
        let cells = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: cells(size.height()),
            ws_col: cells(size.width()),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        if let Err(error) = tcsetwinsize(stdin(), size) {
            tracing::warn!(%error, "cannot set the terminal's size");
        }
    }
    for (stream, name) in streams {
        let uid = process.user().uid();
        match fstat(stream) {
            Ok(found) if found.st_uid != uid && found.st_rdev != makedev(1, 3) => {
                if let Err(error) = fchown(stream, Some(Uid::from_raw(uid)), None) {
                    tracing::warn!(%error, name, "cannot give the process its own stream");
                }
            }
            _ => {}
        }
    }
}

/// Gives the link to `/proc/kcore` the name that it has in Docker's containers, `core`, instead of libcontainer's. Were it left where
/// `/dev` is the machine's, no second container could be given it.
fn name_core(dev: &Path) {
    let made = dev.join("kcore");
    if readlink(&made, Vec::new()).is_ok_and(|target| target.as_bytes() == b"/proc/kcore")
        && let Err(error) = rename(&made, dev.join("core"))
    {
        tracing::warn!(%error, "cannot rename /dev/kcore");
    }
}

/// Looks `name` up as a shell does, with the errors of Go's `exec.LookPath`, which Docker's clients know.
pub(crate) fn find_executable(name: &str, path: &str) -> Result<PathBuf, (FailureKind, String)> {
    let fail = |kind, text: &str| Err((kind, format!("exec: \"{name}\": {text}")));
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fail(
                FailureKind::NotFound,
                &format!("stat {name}: no such file or directory"),
            ),
            Err(error) => fail(failure::kind_of(&error), &failure::errno_text(&error)),
        };
    }
    let mut denied = false;
    for directory in path.split(':').filter(|_| !name.is_empty()) {
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) => denied |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    if denied {
        return fail(FailureKind::NotExecutable, "permission denied");
    }
    fail(FailureKind::NotFound, "executable file not found in $PATH")
}

fn executable(path: &Path) -> io::Result<()> {
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        return Err(rustix::io::Errno::ISDIR.into());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(rustix::io::Errno::ACCESS.into());
    }
    Ok(accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use oci_spec::runtime::{ProcessBuilder, SpecBuilder};

    use super::*;

    #[test]
    fn the_link_to_the_kernels_memory_is_called_core_and_what_else_is_there_keeps_its_name() {
        for (target, before, expected) in [
            ("/proc/kcore", &["kcore"][..], &["core"][..]),
            ("/proc/kcore", &["core", "kcore"], &["core"]),
            ("/proc/kcore", &["core"], &["core"]),
            ("/elsewhere", &["kcore"], &["kcore"]),
            ("", &[], &[]),
        ] {
            let dev = tempfile::tempdir().unwrap();
            for name in before {
                std::os::unix::fs::symlink(target, dev.path().join(name)).unwrap();
            }
            name_core(dev.path());
            let after: Vec<_> = fs::read_dir(dev.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(after, expected, "{target} {before:?}");
        }
    }

    #[test]
    fn executables_are_found_or_refused_in_dockers_words() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("bin/dir")).unwrap();
        for (name, mode) in [("run", 0o755), ("plain", 0o644)] {
            fs::write(root.join("bin").join(name), "").unwrap();
            fs::set_permissions(
                root.join("bin").join(name),
                fs::Permissions::from_mode(mode),
            )
            .unwrap();
        }
        let bin = root.join("bin").display().to_string();
        let path = format!("/nonexistent:{bin}");
        let absolute = |name: &str| format!("{bin}/{name}");
        assert_eq!(find_executable("run", &path), Ok(absolute("run").into()));
        assert_eq!(
            find_executable(&absolute("run"), ""),
            Ok(absolute("run").into())
        );
        use FailureKind::{NotExecutable, NotFound};
        for (name, kind, message) in [
            (
                "nope".to_owned(),
                NotFound,
                "exec: \"nope\": executable file not found in $PATH".to_owned(),
            ),
            (
                String::new(),
                NotFound,
                "exec: \"\": executable file not found in $PATH".to_owned(),
            ),
            (
                absolute("nope"),
                NotFound,
                format!("exec: \"{bin}/nope\": stat {bin}/nope: no such file or directory"),
            ),
            (
                "plain".to_owned(),
                NotExecutable,
                "exec: \"plain\": permission denied".to_owned(),
            ),
            (
                absolute("plain"),
                NotExecutable,
                format!("exec: \"{bin}/plain\": permission denied"),
            ),
            (
                absolute("dir"),
                NotExecutable,
                format!("exec: \"{bin}/dir\": is a directory"),
            ),
        ] {
            assert_eq!(
                find_executable(&name, &path),
                Err((kind, message)),
                "{name}"
            );
        }
    }

    #[test]
    fn the_environment_keeps_its_order_and_names_the_listening_process() {
        let env = ["B=1", "A=x=y", "B=2", "LISTEN_FDS=1"]
            .map(String::from)
            .to_vec();
        let process = ProcessBuilder::default().env(env.clone()).build().unwrap();
        let spec = SpecBuilder::default().process(process).build().unwrap();
        let program = Program::default();
        let mut parsed = libcontainer::utils::parse_env(&env);
        parsed.insert("HOME".into(), "/root".into());
        program.setup_envs(parsed).unwrap();
        let pid = format!("LISTEN_PID={}", std::process::id());
        assert_eq!(
            program.environment(&spec),
            ["B=2", "A=x=y", "LISTEN_FDS=1", "HOME=/root", pid.as_str()]
        );
    }
}
