//! The helper's command line: the part of runc's that the engine uses.

use std::ffi::OsString;
use std::path::PathBuf;

/// A parsed command line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Arguments {
    pub command: String,
    pub id: String,
    pub root: PathBuf,
    pub bundle: Option<PathBuf>,
    pub process: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub log: Option<PathBuf>,
    pub cgroup: Option<PathBuf>,
    pub preserve_fds: i32,
    pub force: bool,
}

impl Arguments {
    /// Parses `COMMAND [--option VALUE]… ID`; options may also stand before the command, as runc's global ones do.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parsed = Self {
            root: PathBuf::from("/run/system-docker/runtime"),
            ..Self::default()
        };
        let mut words = Vec::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let text = arg
                .to_str()
                .ok_or_else(|| format!("argument {} is not UTF-8", arg.display()))?;
            if !text.starts_with("--") {
                words.push(text.to_owned());
                continue;
            }
            if text == "--force" {
                parsed.force = true;
                continue;
            }
            let value = args
                .next()
                .ok_or_else(|| format!("option {text} needs a value"))?;
            match text {
                "--root" => parsed.root = value.into(),
                "--bundle" => parsed.bundle = Some(value.into()),
                "--process" => parsed.process = Some(value.into()),
                "--pid-file" => parsed.pid_file = Some(value.into()),
                "--console-socket" => parsed.console_socket = Some(value.into()),
                "--log" => parsed.log = Some(value.into()),
                "--cgroup" => parsed.cgroup = Some(value.into()),
                "--preserve-fds" => {
                    parsed.preserve_fds = value
                        .to_str()
                        .and_then(|v| v.parse().ok())
                        .filter(|n| (0..=1024).contains(n))
                        .ok_or_else(|| {
                            format!("--preserve-fds {}: expected 0 to 1024", value.display())
                        })?;
                }
                _ => return Err(format!("unknown option {text}")),
            }
        }
        let [command, id] = <[String; 2]>::try_from(words)
            .map_err(|_| "usage: runtime create|exec|start|delete [OPTION]... ID".to_owned())?;
        (parsed.command, parsed.id) = (command, id);
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn runc_command_lines_are_understood() {
        let expected = Arguments {
            command: "create".into(),
            id: "abc".into(),
            root: "/r".into(),
            bundle: Some("/b".into()),
            pid_file: Some("/p".into()),
            log: Some("/l".into()),
            preserve_fds: 2,
            ..Arguments::default()
        };
        for line in [
            "create --root /r --bundle /b --pid-file /p --log /l --preserve-fds 2 abc",
            "--root /r --log /l create abc --preserve-fds 2 --pid-file /p --bundle /b",
        ] {
            assert_eq!(parse(line), Ok(expected.clone()), "{line}");
        }
        assert!(parse("delete --force x").unwrap().force);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, message) in [
            (
                "create",
                "usage: runtime create|exec|start|delete [OPTION]... ID",
            ),
            (
                "create a b",
                "usage: runtime create|exec|start|delete [OPTION]... ID",
            ),
            ("create --bundle", "option --bundle needs a value"),
            ("create --nope 1 a", "unknown option --nope"),
            (
                "create --preserve-fds -1 a",
                "--preserve-fds -1: expected 0 to 1024",
            ),
        ] {
            assert_eq!(parse(line), Err(message.to_owned()), "{line}");
        }
    }
}
