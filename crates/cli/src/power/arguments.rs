//! The command lines of the power commands (E2-001 to E2-005), as sysvinit's and systemd's tools have them.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Action;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub action: Action,
    /// At once: nothing is checked and nothing is stopped.
    pub force: bool,
    /// What to tell the user about the arguments.
    pub notes: Vec<String>,
    /// The command as typed.
    pub line: String,
}

impl Request {
    /// Reads the arguments of the command `name`.
    pub(crate) fn parse(name: &str, args: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut line = vec![name.to_string()];
        line.extend(args.iter().map(|arg| arg.to_string_lossy().into_owned()));
        let mut command = command(name);
        let matches =
            command.try_get_matches_from_mut(std::iter::once(OsString::from(name)).chain(args))?;
        if let Some(time) = matches.try_get_one::<String>("time").ok().flatten()
            && !matches!(time.as_str(), "now" | "+0")
        {
            let text = format!("'{time}' is not a time that {name} knows; only 'now' and '+0' are");
            return Err(command.error(clap::error::ErrorKind::ValueValidation, text));
        }
        let given = |flag: &str| is_given(&matches, flag);
        let action = if given("halt") {
            Action::Halt
        } else if given("poweroff") {
            Action::PowerOff
        } else if given("reboot") {
            Action::Reboot
        } else {
            match name {
                "reboot" => Action::Reboot,
                "halt" => Action::Halt,
                _ => Action::PowerOff,
            }
        };
        let mut notes = Vec::new();
        if matches
            .try_get_one::<u64>("timeout")
            .ok()
            .flatten()
            .is_some()
        {
            notes.push(
                "the time that services have is rancher.shutdown_timeout; -t is ignored".into(),
            );
        }
        Ok(Self {
            action,
            force: given("force"),
            notes,
            line: line.join(" "),
        })
    }
}

fn is_given(matches: &ArgMatches, flag: &str) -> bool {
    matches!(matches.try_get_one::<bool>(flag), Ok(Some(true)))
}

fn command(name: &str) -> Command {
    let called = match name {
        "reboot" => "reboot",
        "halt" => "halt",
        "poweroff" => "poweroff",
        _ => "shutdown",
    };
    let flag = |id: &'static str, short: char, help: &'static str| {
        Arg::new(id)
            .short(short)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let about = match name {
        "reboot" => "Restart this machine",
        "halt" => "Stop this machine and leave it switched on",
        "poweroff" => "Stop this machine and switch it off",
        _ => "Stop this machine; it is switched off unless an option says otherwise",
    };
    let base = Command::new(called)
        .about(about)
        .arg(flag("force", 'f', "At once: check nothing, stop nothing").long("force"))
        .arg(
            Arg::new("timeout")
                .short('t')
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(clap::value_parser!(u64))
                .help("Accepted for compatibility"),
        );
    match name {
        "reboot" => base.arg(flag("reboot", 'r', "Restart; the default").long("reboot")),
        "halt" => base.arg(flag("halt", 'H', "Halt; the default").long("halt")),
        "poweroff" => base.arg(flag("poweroff", 'P', "Switch off; the default").long("poweroff")),
        _ => base
            .arg(flag("reboot", 'r', "Restart").long("reboot"))
            .arg(flag("halt", 'H', "Stop and leave switched on").long("halt"))
            .arg(flag("poweroff", 'P', "Switch off; the default").long("poweroff"))
            .arg(flag("default", 'h', "The same as -P, unless -H is given"))
            .arg(Arg::new("time").value_name("TIME").help("now or +0"))
            // -h is not help here, as it never was.
            .disable_help_flag(true)
            .arg(
                Arg::new("help")
                    .long("help")
                    .action(ArgAction::Help)
                    .help("Print help"),
            ),
    }
}
