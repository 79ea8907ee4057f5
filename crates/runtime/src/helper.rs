//! The helper process: `coracle runtime …`.

mod arguments;
mod device_nodes;
mod filter;
mod log;
pub(crate) mod program;
mod propagation;

use std::error::Error as StdError;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::ExitCode;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::{Process, Spec};
use rustix::fs::Mode;

use self::arguments::Arguments;
use self::device_nodes::DeviceNodes;
use self::filter::Filter;
use self::program::{Program, Restrictions};
use self::propagation::Propagation;
use crate::failure::{Failure, FailureKind};
use crate::{capabilities, spec};

pub(crate) use self::filter::FILTERS;
pub(crate) use self::log::Line;

/// Runs the helper. `args` are those after `coracle runtime`.
///
/// Must be called in a single-threaded process, before anything else was opened.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if coracle_sys::spawn::end_with_parent().is_err() {
        return ExitCode::FAILURE;
    }
    // The first process of a container inherits it, and Docker's is 022.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    // Without additional groups libcontainer leaves it with ours. Only root has any to give up, or may.
    let _ = rustix::thread::set_thread_groups(&[]);
    let arguments = match Arguments::parse(args) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("coracle runtime: {message}");
            return ExitCode::from(2);
        }
    };
    let log = match log::open(arguments.log.as_deref()) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("coracle runtime: cannot open the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    match log.try_clone() {
        Ok(copy) => drop(tracing::subscriber::set_global_default(log::Recorder(copy))),
        Err(error) => eprintln!("coracle runtime: errors will lack their causes: {error}"),
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&arguments, &log, error.as_ref());
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn StdError>>;

fn run(arguments: &Arguments) -> Result<()> {
    match arguments.command.as_str() {
        "create" => create(arguments),
        "exec" => exec(arguments),
        "start" => Ok(Container::load(arguments.root.join(&arguments.id))?.start()?),
        "delete" => delete(arguments),
        other => {
            Err(format!("unknown command {other}: expected create, exec, start or delete").into())
        }
    }
}

/// What lies below the state directory beside the containers' own directories.
pub const OWN_DIRECTORIES: [&str; 3] = [BUNDLES, FILTERS, STAGING];
/// Below the state directory: where the helper mounts what a container shares with the machine, for itself only.
const STAGING: &str = ".staging";
/// Below the state directory: for each container, the configuration that libcontainer is given.
pub(crate) const BUNDLES: &str = ".bundles";
/// There, beside it: what processes that are added later give up.
const RESTRICTIONS_FILE: &str = "restrictions.json";
/// There, beside it: the compiled system call filter.
const FILTER_FILE: &str = "filter";

fn create(arguments: &Arguments) -> Result<()> {
    let given = arguments.bundle.as_deref().ok_or("create needs --bundle")?;
    let state = arguments.root.join(&arguments.id);
    let bundle = arguments.root.join(BUNDLES).join(&arguments.id);
    if state.exists() {
        return Err(LibcontainerError::Exist.into());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(&bundle)?;
    let result = derive_bundle(given, &bundle, &arguments.root).and_then(|derived| {
        let builder = builder(
            arguments,
            Program::first(derived.restrictions, derived.device_nodes),
        )?;
        let mut container = builder
            .as_init(&bundle)
            .with_systemd(false)
            .with_detach(true)
            .build()?;
        let pid = container.pid().ok_or("libcontainer made no process")?;
        if let Err(message) = derived.propagation.apply(pid.as_raw()) {
            let _ = container.delete(true);
            return Err(message.into());
        }
        Ok(())
    });
    match result {
        Ok(()) => Ok(()),
        Err(error) => {
            // libcontainer leaves the directory behind when it fails early, and every later attempt would find it.
            let _ = fs::remove_dir_all(&state);
            let _ = fs::remove_dir_all(&bundle);
            Err(error)
        }
    }
}

/// What libcontainer is not told.
struct Derived {
    restrictions: Restrictions,
    device_nodes: DeviceNodes,
    propagation: Propagation,
}

/// Writes the configuration that libcontainer gets: corrected, with an absolute root, and without what is left to us.
fn derive_bundle(given: &Path, derived: &Path, root: &Path) -> Result<Derived> {
    let mut config = read_json::<Spec>(&given.join("config.json"))?;
    spec::normalise(&mut config, &capabilities::own_bounding_set()?);
    let propagation = propagation::prepare(&mut config, &root.join(STAGING))?;
    let device_nodes = DeviceNodes::take_from(&mut config);
    let mut restrictions = Restrictions::default();
    if let Some(process) = config.process_mut() {
        restrictions.take_from(process);
    }
    if let Some(linux) = config.linux_mut() {
        if let Some(profile) = linux.seccomp() {
            let filter = filter::place(profile, root, &derived.join(FILTER_FILE))
                .map_err(|error| format!("seccomp filter: {error}"))?;
            restrictions.is_filtered = true;
            restrictions.filter = Some(filter);
        }
        linux.set_seccomp(None);
    }
    if let Some(root) = config.root_mut() {
        let absolute = fs::canonicalize(given.join(root.path()))
            .map_err(|error| format!("root.path {}: {error}", root.path().display()))?;
        root.set_path(absolute);
    }
    fs::write(derived.join("config.json"), serde_json::to_vec(&config)?)?;
    fs::write(
        derived.join(RESTRICTIONS_FILE),
        serde_json::to_vec(&restrictions)?,
    )?;
    Ok(Derived {
        restrictions,
        device_nodes,
        propagation,
    })
}

fn exec(arguments: &Arguments) -> Result<()> {
    let file = arguments.process.as_deref().ok_or("exec needs --process")?;
    let mut process = read_json::<Process>(file)?;
    spec::normalise_process(&mut process, &capabilities::own_bounding_set()?);
    let bundle = arguments.root.join(BUNDLES).join(&arguments.id);
    let mut restrictions = read_json::<Restrictions>(&bundle.join(RESTRICTIONS_FILE))?;
    restrictions.take_from(&mut process);
    if restrictions.is_filtered {
        let path = bundle.join(FILTER_FILE);
        let filter = Filter::read(&path)
            .map_err(|error| format!("seccomp filter {}: {error}", path.display()))?;
        restrictions.filter = Some(filter);
    }
    let stripped = memory_file(&serde_json::to_vec(&process)?)?;
    builder(arguments, Program::added(restrictions))?
        .as_tenant()
        .with_detach(true)
        .with_process(Some(stripped.path()))
        .with_sub_cgroup(
            arguments
                .cgroup
                .as_ref()
                .map(|path| path.display().to_string()),
        )
        .build()?;
    Ok(())
}

fn delete(arguments: &Arguments) -> Result<()> {
    let state = arguments.root.join(&arguments.id);
    if !arguments.force || state.exists() {
        Container::load(state)?.delete(arguments.force)?;
    }
    let bundle = arguments.root.join(BUNDLES).join(&arguments.id);
    match fs::remove_dir_all(bundle) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn builder(arguments: &Arguments, program: Program) -> Result<ContainerBuilder> {
    Ok(
        ContainerBuilder::new(arguments.id.clone(), SyscallType::default())
            .validate_id()?
            .with_executor(program)
            .with_root_path(&arguments.root)?
            .with_pid_file(arguments.pid_file.as_ref())?
            .with_console_socket(arguments.console_socket.as_ref())
            .with_preserved_fds(arguments.preserve_fds),
    )
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// A file in memory with a path.
struct MemoryFile(File);

impl MemoryFile {
    fn path(&self) -> String {
        use std::os::fd::AsRawFd as _;
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

fn memory_file(content: &[u8]) -> io::Result<MemoryFile> {
    use std::io::Write as _;
    let mut file = File::from(rustix::fs::memfd_create(
        "process.json",
        rustix::fs::MemfdFlags::CLOEXEC,
    )?);
    file.write_all(content)?;
    Ok(MemoryFile(file))
}

/// Says why, as the log's last line, or on stderr when there is no log file.
fn report(arguments: &Arguments, log: &File, error: &dyn StdError) {
    if let Some(path) = &arguments.pid_file {
        let _ = fs::remove_file(path);
    }
    let failure = Failure::from_log(&log::read(log), error, &working_directory(arguments));
    if arguments.log.is_none() {
        eprintln!("coracle runtime: {failure}");
    }
    log::append(log, &crate::failure::Report { failure });
}

/// The `cwd` that was asked for, which libcontainer does not tell when it cannot go there.
fn working_directory(arguments: &Arguments) -> String {
    let process = match (&arguments.process, &arguments.bundle) {
        (Some(file), _) => read_json::<Process>(file).ok(),
        (None, Some(bundle)) => read_json::<Spec>(&bundle.join("config.json"))
            .ok()
            .and_then(|c| c.process().clone()),
        (None, None) => None,
    };
    process
        .map(|process| process.cwd().display().to_string())
        .unwrap_or_default()
}

impl Failure {
    /// The best explanation in what was logged; else that of the error itself.
    fn from_log(lines: &[Line], error: &dyn StdError, cwd: &str) -> Self {
        if let Some(told) = lines.iter().find_map(crate::failure::told) {
            return told;
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        // The innermost event is told first.
        match lines.iter().find(|line| line.level == "error") {
            Some(line) => crate::failure::from_event(line, &message, cwd),
            None => Self {
                kind: FailureKind::Other,
                message,
            },
        }
    }
}
