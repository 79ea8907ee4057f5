//! Starting processes without running Rust code between fork and exec.
//!
//! PID 1 is multi-threaded, so it may only use `posix_spawn(3)`: the C library does the fork (`CLONE_VM|CLONE_VFORK`),
//! the descriptor table and the exec.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, waitpid};

/// What to execute, with which arguments, environment and descriptors.
///
/// The child sees exactly the descriptors given with [`Command::fd`]; of 0, 1 and 2 those not given are `/dev/null`.
/// Everything else in this process must be close-on-exec. Signal mask and `SIGPIPE` are reset to their defaults.
#[derive(Debug)]
pub struct Command {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    fds: Vec<(OwnedFd, RawFd)>,
    own_group: bool,
}

impl Command {
    /// A command with `argv[0] = program`, no further arguments and an empty environment.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let args = vec![program.clone().into_os_string()];
        Self {
            program,
            args,
            env: Vec::new(),
            fds: Vec::new(),
            own_group: false,
        }
    }

    /// Replaces `argv[0]`.
    pub fn arg0(mut self, arg: impl Into<OsString>) -> Self {
        self.args[0] = arg.into();
        self
    }

    /// Appends one argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Appends several arguments.
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable.
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Gives `fd` to the child as descriptor number `target` (0 is stdin, 1 stdout, 2 stderr).
    pub fn fd(mut self, fd: impl Into<OwnedFd>, target: RawFd) -> Self {
        self.fds.push((fd.into(), target));
        self
    }

    /// Makes the child the leader of a process group of its own.
    pub fn own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// Lets a helper end with this process: see [`end_with_parent`].
    pub fn with_parent(self) -> Self {
        self.env(PARENT, std::process::id().to_string())
    }

    /// The program that will be executed.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The arguments, `argv[0]` first.
    pub fn arguments(&self) -> &[OsString] {
        &self.args
    }

    /// Starts the process. Its parent must wait for it.
    ///
    /// # Errors
    /// `InvalidInput` when an argument holds a NUL byte or a target is given twice; else the error of `posix_spawn`,
    /// which includes that of the `execve`.
    pub fn spawn(&self) -> io::Result<Pid> {
        let program = c_string(self.program.as_os_str())?;
        let args = self
            .args
            .iter()
            .map(|a| c_string(a))
            .collect::<io::Result<Vec<_>>>()?;
        let env = self
            .env
            .iter()
            .map(|(key, value)| {
                let mut pair = key.clone();
                pair.push("=");
                pair.push(value);
                c_string(&pair)
            })
            .collect::<io::Result<Vec<_>>>()?;
        let highest = self
            .fds
            .iter()
            .map(|(_, target)| *target)
            .max()
            .unwrap_or(2)
            .max(2);
        let mut actions = FileActions::new()?;
        for target in 0..3 {
            if !self.fds.iter().any(|(_, t)| *t == target) {
                actions.open_null(target)?;
            }
        }
        // A source may have the number of another one's target: move all sources above every target first.
        let mut moved = Vec::with_capacity(self.fds.len());
        for (index, (fd, target)) in self.fds.iter().enumerate() {
            if *target < 0 || self.fds[..index].iter().any(|(_, t)| t == target) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("descriptor {target} is negative or given twice"),
                ));
            }
            let source = rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), highest + 1)?;
            actions.dup2(source.as_raw_fd(), *target)?;
            moved.push(source);
        }
        let attributes = Attributes::new(self.own_group)?;
        let argv = pointers(&args);
        let envp = pointers(&env);
        let mut pid: libc::pid_t = 0;
        // SAFETY: `program`, `argv` and `envp` are NUL-terminated and outlive the call; `actions` and `attributes` were
        // initialised by the C library; `moved` keeps the sources open until the child has its own table.
        let error = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                &raw const actions.0,
                &raw const attributes.0,
                argv.as_ptr(),
                envp.as_ptr(),
            )
        };
        check(error)?;
        Pid::from_raw(pid).ok_or_else(|| io::Error::other("posix_spawn gave no process id"))
    }
}

/// Variable with the id of the process that a helper is to end with.
const PARENT: &str = "CORACLE_PARENT";

/// For helpers that were started [`Command::with_parent`]: from now on the calling process is killed when the thread that has
/// started it ends, which lasts as long as it waits for the helper. What a helper would still do after that nobody expects,
/// least of all the parent's successor.
///
/// # Errors
/// When the parent has ended already.
pub fn end_with_parent() -> io::Result<()> {
    let parent = std::env::var(PARENT).ok();
    let Some(parent) = parent.and_then(|text| text.parse().ok()) else {
        // By hand.
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended between the start and here.
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        return Err(io::Error::other("the parent has ended"));
    }
    Ok(())
}

/// Waits for a started process; called once.
pub type Wait = Box<dyn FnOnce() -> io::Result<WaitStatus> + Send>;

/// Who starts helper processes and waits for them.
///
/// In PID 1 only the reaper may wait, so code that needs a helper takes a `Launcher`: the engine's goes through its
/// reaper, [`Direct`] is for every other process.
pub trait Launcher: Send + Sync {
    /// Starts `command`; the result blocks until it has ended.
    ///
    /// # Errors
    /// When the process cannot be started.
    fn launch(&self, command: &Command) -> io::Result<Wait>;
}

/// Starts helpers and waits for them with `waitpid(2)`: for processes that have no reaper.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Launcher for Direct {
    fn launch(&self, command: &Command) -> io::Result<Wait> {
        let pid = command.spawn()?;
        Ok(Box::new(move || {
            loop {
                match waitpid(Some(pid), WaitOptions::empty()) {
                    Ok(Some((_, status))) => return Ok(status),
                    Ok(None) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }))
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} holds a NUL byte", text.display()),
        )
    })
}

fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr().cast_mut())
        .chain([ptr::null_mut()])
        .collect()
}

/// The `posix_*` family returns the error number instead of setting `errno`.
fn check(error: libc::c_int) -> io::Result<()> {
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = std::mem::MaybeUninit::uninit();
        // SAFETY: the call initialises the object it is given.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: initialised above.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn dup2(&mut self, source: RawFd, target: RawFd) -> io::Result<()> {
        // SAFETY: `self.0` is initialised; the descriptors are plain numbers here.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, source, target) })
    }

    fn open_null(&mut self, target: RawFd) -> io::Result<()> {
        // SAFETY: `self.0` is initialised; the C library copies the path.
        check(unsafe {
            libc::posix_spawn_file_actions_addopen(
                &raw mut self.0,
                target,
                c"/dev/null".as_ptr(),
                libc::O_RDWR,
                0,
            )
        })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// An empty signal mask and the default action of `SIGPIPE`, which Rust's runtime ignores.
    fn new(own_group: bool) -> io::Result<Self> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: the call initialises the object it is given.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: initialised above.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let mut set = std::mem::MaybeUninit::uninit();
        let mut flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        if own_group {
            // The group's number is 0 unless it is set: the child's own.
            flags |= libc::POSIX_SPAWN_SETPGROUP;
        }
        // SAFETY: `sigemptyset` initialises the set before it is read; `attributes` is initialised; the setters copy.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            check(libc::posix_spawnattr_setsigmask(
                &raw mut attributes.0,
                set.as_ptr(),
            ))?;
            libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
            check(libc::posix_spawnattr_setsigdefault(
                &raw mut attributes.0,
                set.as_ptr(),
            ))?;
            check(libc::posix_spawnattr_setflags(
                &raw mut attributes.0,
                flags as libc::c_short,
            ))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    fn output(script: &str, extra: Vec<(OwnedFd, RawFd)>) -> (String, i32) {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut command = Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .env("A", "b")
            .fd(write, 1);
        for (fd, target) in extra {
            command = command.fd(fd, target);
        }
        let wait = Direct.launch(&command).unwrap();
        drop(command);
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        (text, wait().unwrap().exit_status().unwrap())
    }

    #[test]
    fn child_sees_arguments_environment_and_the_given_descriptors() {
        let zero = OwnedFd::from(File::open("/dev/zero").unwrap());
        let script = "echo $0 $A; for n in 0 1 2 3; do readlink /proc/$$/fd/$n; done; exit 7";
        let (text, status) = output(script, vec![(zero, 3)]);
        let lines: Vec<_> = text.lines().map(|l| l.split(':').next().unwrap()).collect();
        assert_eq!(
            (lines, status),
            (
                vec!["/bin/sh b", "/dev/null", "pipe", "/dev/null", "/dev/zero"],
                7
            )
        );
    }

    #[test]
    fn a_child_leads_a_group_of_its_own_when_asked() {
        for (own, expected) in [(false, false), (true, true)] {
            let command = Command::new("/bin/sh").arg("-c").arg("exit 0");
            let command = if own { command.own_group() } else { command };
            let pid = command.spawn().unwrap();
            let leads = rustix::process::getpgid(Some(pid)).unwrap() == pid;
            waitpid(Some(pid), WaitOptions::empty()).unwrap();
            assert_eq!(leads, expected);
        }
    }

    #[test]
    fn sources_and_targets_may_overlap() {
        let (a, b) = (
            File::open("/dev/zero").unwrap(),
            File::open("/dev/full").unwrap(),
        );
        let (low, high) = (a.as_raw_fd(), b.as_raw_fd());
        let script = format!("readlink /proc/$$/fd/{low} /proc/$$/fd/{high}");
        let (text, _) = output(&script, vec![(a.into(), high), (b.into(), low)]);
        assert_eq!(text, "/dev/full\n/dev/zero\n");
    }

    #[test]
    fn errors_of_exec_reach_the_caller() {
        let error = Command::new("/nonexistent").spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let twice = Command::new("/bin/true")
            .fd(File::open("/dev/null").unwrap(), 3)
            .fd(File::open("/dev/null").unwrap(), 3);
        assert_eq!(
            twice.spawn().unwrap_err().to_string(),
            "descriptor 3 is negative or given twice"
        );
    }
}
