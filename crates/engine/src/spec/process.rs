//! The process of a container, and further ones started in it (exec).

use std::str::FromStr;

use bollard_stubs::models::ResourcesUlimits;
use coracle_runtime::capabilities::process_sets;
use oci_spec::runtime::{
    Box as Size, BoxBuilder, Capabilities, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, User,
};

use super::Input;
use crate::record::Record;
use crate::user::Account;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The first process.
pub fn container_process(input: &Input<'_>) -> Process {
    let record = input.record;
    let mut env = environment(record, input.hostname, input.account, record.tty(), &[]);
    if input.listen_fds > 0 {
        env.push(format!("LISTEN_FDS={}", input.listen_fds));
    }
    let mut process = base(
        record,
        input.account,
        input.capabilities,
        input.ulimits,
        env,
    );
    let mut args = record.command();
    if input.init.is_some() {
        args.splice(0..0, [super::INIT_PATH.to_owned(), "--".to_owned()]);
    }
    process.set_args(Some(args));
    process.set_terminal(Some(record.tty()));
    if let Some([height, width]) = record.host_config.console_size.as_deref()
        && record.tty()
    {
        process.set_console_size(size(*height as u64, *width as u64));
    }
    process.set_no_new_privileges(input.no_new_privileges.then_some(true));
    process.set_oom_score_adj(
        record
            .host_config
            .oom_score_adj
            .and_then(|score| i32::try_from(score).ok()),
    );
    process
}

/// What an exec adds to its container.
#[derive(Debug)]
pub struct ExecInput<'a> {
    /// The container.
    pub record: &'a Record,
    /// Who the new process runs as.
    pub account: &'a Account,
    /// What it may do.
    pub capabilities: &'a Capabilities,
    /// Limits of its processes.
    pub ulimits: &'a [ResourcesUlimits],
    /// The container's host name, if it has its own.
    pub hostname: Option<&'a str>,
    /// Program and arguments.
    pub command: &'a [String],
    /// Further variables.
    pub env: &'a [String],
    /// Directory to start in, instead of the container's.
    pub working_dir: Option<&'a str>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Rows and columns of its terminal, if they are known already.
    pub size: Option<(u16, u16)>,
    /// Whether it can never gain privileges.
    pub no_new_privileges: bool,
}

/// A further process.
pub fn exec_process(input: &ExecInput<'_>) -> Process {
    let env = environment(
        input.record,
        input.hostname,
        input.account,
        input.tty,
        input.env,
    );
    let mut process = base(
        input.record,
        input.account,
        input.capabilities,
        input.ulimits,
        env,
    );
    process.set_args(Some(input.command.to_vec()));
    process.set_terminal(Some(input.tty));
    if let Some((rows, columns)) = input.size.filter(|_| input.tty) {
        process.set_console_size(size(rows.into(), columns.into()));
    }
    if let Some(dir) = input.working_dir.filter(|dir| !dir.is_empty()) {
        process.set_cwd(dir.into());
    }
    process.set_no_new_privileges(input.no_new_privileges.then_some(true));
    process.set_oom_score_adj(None);
    process
}

/// A terminal's size; a zero is "not known".
fn size(height: u64, width: u64) -> Option<Size> {
    let known = height > 0 && width > 0;
    let size = BoxBuilder::default().height(height).width(width).build();
    size.ok().filter(|_| known)
}

fn base(
    record: &Record,
    account: &Account,
    capabilities: &Capabilities,
    ulimits: &[ResourcesUlimits],
    env: Vec<String>,
) -> Process {
    let mut user = User::default();
    user.set_uid(account.uid);
    user.set_gid(account.gid);
    user.set_additional_gids(Some(account.groups.clone()).filter(|groups| !groups.is_empty()));
    let mut process = Process::default();
    process.set_user(user);
    process.set_env(Some(env));
    let dir = record
        .config
        .working_dir
        .as_deref()
        .filter(|dir| !dir.is_empty())
        .unwrap_or("/");
    process.set_cwd(dir.into());
    process.set_capabilities(Some(process_sets(capabilities, account.uid)));
    let limits: Vec<_> = ulimits.iter().filter_map(rlimit).collect();
    process.set_rlimits(Some(limits).filter(|limits| !limits.is_empty()));
    process
}

/// `nofile` to `RLIMIT_NOFILE`. Docker's -1 is "no limit".
pub fn rlimit(ulimit: &ResourcesUlimits) -> Option<PosixRlimit> {
    let name = format!("RLIMIT_{}", ulimit.name.as_deref()?.to_ascii_uppercase());
    PosixRlimitBuilder::default()
        .typ(PosixRlimitType::from_str(&name).ok()?)
        .soft(ulimit.soft.unwrap_or(0).cast_unsigned())
        .hard(ulimit.hard.unwrap_or(0).cast_unsigned())
        .build()
        .ok()
}

/// Docker's variables, the image's and container's, then `more`; a later value replaces an earlier one in its place.
fn environment(
    record: &Record,
    hostname: Option<&str>,
    account: &Account,
    tty: bool,
    more: &[String],
) -> Vec<String> {
    let mut env = vec![PATH.to_owned()];
    let name = hostname
        .or(record.config.hostname.as_deref())
        .unwrap_or_default();
    env.push(format!("HOSTNAME={name}"));
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    for entry in record.config.env.iter().flatten().chain(more) {
        let Some((key, _)) = entry.split_once('=') else {
            // Docker: a name alone takes the variable away.
            env.retain(|other| other.split_once('=').map(|(key, _)| key) != Some(entry));
            continue;
        };
        match env
            .iter_mut()
            .find(|other| other.split_once('=').map(|(key, _)| key) == Some(key))
        {
            Some(place) => *place = entry.clone(),
            None => env.push(entry.clone()),
        }
    }
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", account.home));
    }
    env
}
