//! The standard streams of a process about to be made: pipes or a terminal, and the tasks that move their bytes.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::task::JoinHandle;

use crate::console::Console;
use crate::logs::Log;
use crate::pump::Brake;
use crate::streams::{Stream, Streams};
use crate::{pump, task};

/// Both ends of the streams.
#[derive(Debug)]
pub struct Stdio {
    /// What the process gets as 0, 1 and 2; `None` is `/dev/null`, or the terminal.
    pub child: [Option<OwnedFd>; 3],
    host: HostEnd,
}

#[derive(Debug)]
enum HostEnd {
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal {
        console: Console,
        stdin: bool,
    },
}

/// The running tasks.
#[derive(Debug, Default)]
pub struct Pumps {
    /// End with the output.
    pub outputs: Vec<JoinHandle<()>>,
    /// To be stopped when the process has ended.
    pub input: Option<JoinHandle<()>>,
    /// For changing the size.
    pub terminal: Option<OwnedFd>,
    /// Stops them.
    pub brake: Option<Brake>,
}

/// The engine's ends of the streams of a process that runs.
#[derive(Debug, Default)]
pub struct Ends {
    /// Reading ends, each with the beginning of a line that was read and not logged.
    pub outputs: Vec<(Stream, OwnedFd, Vec<u8>)>,
    /// The writing end, with what was not written yet, and whether its end follows.
    pub input: Option<(OwnedFd, (Vec<u8>, bool))>,
    /// The terminal, if it is one.
    pub terminal: Option<OwnedFd>,
}

impl Ends {
    /// Starts moving bytes.
    ///
    /// # Errors
    /// When a descriptor cannot be polled.
    pub fn pump(
        self,
        name: &str,
        streams: &Arc<Streams>,
        log: Option<&Arc<Log>>,
    ) -> io::Result<Pumps> {
        let mut pumps = Pumps::default();
        let (brake, halt) = Brake::new();
        for (stream, fd, line) in self.outputs {
            let (streams, log) = (Arc::clone(streams), log.cloned());
            let source = pump::reader(fd)?;
            let work = pump::output(source, stream, streams, log, line, halt.clone());
            pumps
                .outputs
                .push(task::spawn(format!("{} of {name}", stream.name()), work));
        }
        if let (Some((fd, waiting)), Some(queue)) = (self.input, streams.take_input_end()) {
            let (sink, terminal) = (pump::writer(fd)?, self.terminal.is_some());
            let work = pump::input(sink, queue, terminal, waiting, halt);
            pumps.input = Some(task::spawn(format!("stdin of {name}"), work));
        }
        pumps.terminal = self.terminal;
        pumps.brake = Some(brake);
        Ok(pumps)
    }
}

impl Stdio {
    /// Streams for a process with or without a terminal, with standard input if `stdin`.
    ///
    /// # Errors
    /// When pipes or the socket in `console_dir` cannot be made.
    pub fn new(terminal: bool, stdin: bool, console_dir: &Path) -> io::Result<Self> {
        if terminal {
            let console = Console::listen(console_dir)?;
            return Ok(Self {
                child: [None, None, None],
                host: HostEnd::Terminal { console, stdin },
            });
        }
        let (out_read, out_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err_read, err_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (in_read, in_write) = if stdin {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            (Some(read), Some(write))
        } else {
            (None, None)
        };
        Ok(Self {
            child: [in_read, Some(out_write), Some(err_write)],
            host: HostEnd::Pipes {
                stdin: in_write,
                stdout: out_read,
                stderr: err_read,
            },
        })
    }

    /// The socket for the helper, when there is a terminal.
    pub fn console_path(&self) -> Option<PathBuf> {
        match &self.host {
            HostEnd::Terminal { console, .. } => Some(console.path().to_owned()),
            HostEnd::Pipes { .. } => None,
        }
    }

    /// Starts moving bytes; call it when the helper has ended successfully.
    ///
    /// # Errors
    /// When the helper sent no terminal, or a descriptor cannot be polled.
    pub fn pump(
        self,
        name: &str,
        streams: &Arc<Streams>,
        log: Option<&Arc<Log>>,
    ) -> io::Result<Pumps> {
        let output = |fd, stream| (stream, fd, Vec::new());
        let ends = match self.host {
            HostEnd::Pipes {
                stdin,
                stdout,
                stderr,
            } => Ends {
                outputs: vec![
                    output(stdout, Stream::Stdout),
                    output(stderr, Stream::Stderr),
                ],
                input: stdin.map(|fd| (fd, Default::default())),
                terminal: None,
            },
            HostEnd::Terminal { console, stdin } => {
                let master = console.receive()?;
                let input = stdin.then(|| master.try_clone()).transpose()?;
                Ends {
                    outputs: vec![output(master.try_clone()?, Stream::Stdout)],
                    input: input.map(|fd| (fd, Default::default())),
                    terminal: Some(master),
                }
            }
        };
        ends.pump(name, streams, log)
    }
}
