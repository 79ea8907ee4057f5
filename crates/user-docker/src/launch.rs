//! `coracle user-docker-launch …`: the last steps before a daemon, in a process of its own, because no Rust code may run
//! between fork and exec.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal};

use crate::cgroup;
use crate::error::Error;

/// Name of the role.
pub const ROLE: &str = "user-docker-launch";

/// The number that systemd's socket activation protocol begins at (sd_listen_fds(3)).
const FIRST_LISTEN_FD: i32 = 3;

/// What to do before the daemon runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// End with this process: the supervisor.
    pub parent: u32,
    /// Control group to enter.
    pub cgroup: Option<PathBuf>,
    /// Standard input is a listening socket: pass it on as socket activation does.
    pub listen: bool,
    /// Program and arguments.
    pub words: Vec<OsString>,
}

impl Launch {
    /// The role's arguments.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--parent".into(), self.parent.to_string().into()];
        if let Some(cgroup) = &self.cgroup {
            arguments.extend(["--cgroup".into(), cgroup.into()]);
        }
        if self.listen {
            arguments.push("--listen".into());
        }
        arguments.push("--".into());
        arguments.extend(self.words.iter().cloned());
        arguments
    }

    /// The opposite of [`Self::to_arguments`].
    ///
    /// # Errors
    /// Other arguments.
    pub fn parse(arguments: &[OsString]) -> Result<Self, Error> {
        let usage = || Error::Usage {
            role: ROLE,
            message: "usage: --parent PID [--cgroup DIRECTORY] [--listen] -- PROGRAM [ARGUMENT]..."
                .to_owned(),
        };
        let mut launch = Self::default();
        let mut rest = arguments.iter();
        loop {
            let argument = rest.next().ok_or_else(usage)?;
            match argument.to_str() {
                Some("--parent") => {
                    let pid = rest.next().and_then(|pid| pid.to_str());
                    launch.parent = pid.and_then(|pid| pid.parse().ok()).ok_or_else(usage)?;
                }
                Some("--cgroup") => launch.cgroup = Some(rest.next().ok_or_else(usage)?.into()),
                Some("--listen") => launch.listen = true,
                Some("--") => break,
                _ => return Err(usage()),
            }
        }
        launch.words = rest.cloned().collect();
        match launch.words.is_empty() {
            true => Err(usage()),
            false => Ok(launch),
        }
    }

    /// Becomes the daemon.
    ///
    /// # Errors
    /// One of the steps fails; it never returns otherwise.
    pub fn run(&self) -> Result<std::convert::Infallible, Error> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(Error::system("tie the daemon to its supervisor"))?;
        // The supervisor may have ended before the line above.
        let parent = rustix::process::getppid().map(Pid::as_raw_nonzero);
        if parent.map(|pid| pid.get() as u32) != Some(self.parent) {
            return Err(Error::Usage {
                role: ROLE,
                message: format!("process {} is not the parent any more", self.parent),
            });
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup::enter(cgroup)?;
        }
        let (program, arguments) = self.words.split_first().ok_or_else(|| Error::Usage {
            role: ROLE,
            message: "no program".to_owned(),
        })?;
        let mut command = Command::new(program);
        command.args(arguments);
        // Lives until exec.
        let _listening = match self.listen {
            true => Some(pass_socket(&mut command)?),
            false => None,
        };
        Err(Error::Start {
            program: program.to_string_lossy().into_owned(),
            cause: command.exec(),
        })
    }
}

/// Moves standard input to descriptor 3 and says so in the environment (sd_listen_fds(3)); standard input becomes /dev/null.
fn pass_socket(command: &mut Command) -> Result<rustix::fd::OwnedFd, Error> {
    const ACTION: &str = "pass the listening socket on";
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), FIRST_LISTEN_FD)
        .map_err(Error::system(ACTION))?;
    if socket.as_raw_fd() != FIRST_LISTEN_FD {
        return Err(Error::Usage {
            role: ROLE,
            message: format!("descriptor {FIRST_LISTEN_FD} is in use"),
        });
    }
    coracle_sys::fd::keep_over_exec(&socket).map_err(Error::system(ACTION))?;
    let null = std::fs::File::open("/dev/null").map_err(Error::file("open", "/dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(Error::system(ACTION))?;
    let pid = rustix::process::getpid().as_raw_nonzero();
    command
        .env("LISTEN_PID", pid.to_string())
        .env("LISTEN_FDS", "1")
        .env_remove("LISTEN_FDNAMES");
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_way_through_exec() {
        let launch = Launch {
            parent: 7,
            cgroup: Some("/sys/fs/cgroup/x".into()),
            listen: true,
            words: vec!["dockerd".into(), "--parent".into(), "--".into()],
        };
        assert_eq!(Launch::parse(&launch.to_arguments()).unwrap(), launch);
        for bad in [
            &["--parent", "x", "--", "a"][..],
            &["--"],
            &["dockerd"],
            &[],
        ] {
            let bad: Vec<OsString> = bad.iter().map(OsString::from).collect();
            assert!(Launch::parse(&bad).is_err(), "{bad:?}");
        }
    }
}
