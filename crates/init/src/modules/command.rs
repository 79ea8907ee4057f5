//! Role `modprobe`: what the kernel calls when it wants a module, and what programs in containers call.

use std::fs;
use std::process::ExitCode;

use super::{Index, Loader, Options};

/// Loads modules by name or alias: `modprobe [-q] [-a] [--] NAME [PARAMETER=VALUE]...`, as modprobe(8) does.
#[must_use]
pub fn modprobe(arguments: &[String]) -> ExitCode {
    let request = match Request::parse(arguments) {
        Ok(request) => request,
        Err(message) => {
            eprintln!("modprobe: {message}");
            return ExitCode::from(2);
        }
    };
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let loader = match Index::of_running_kernel() {
        Ok(index) => Loader::new(index.asked_once(), Options::from_cmdline(&line)),
        Err(error) => {
            eprintln!("modprobe: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut code = ExitCode::SUCCESS;
    for name in &request.names {
        if let Err(error) = loader.load_with(name, &request.parameters) {
            code = ExitCode::FAILURE;
            if !request.quiet {
                eprintln!("modprobe: {error}");
            }
        }
    }
    code
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    quiet: bool,
    names: Vec<String>,
    parameters: String,
}

impl Request {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut request = Self::default();
        let mut all = false;
        let mut words = Vec::new();
        let mut options = true;
        for argument in arguments {
            match argument.as_str() {
                "--" if options => options = false,
                "-q" | "--quiet" if options => request.quiet = true,
                "-a" | "--all" if options => all = true,
                // Use the blacklist; log to syslog; be verbose: nothing to do here.
                "-b" | "-s" | "-v" | "--use-blacklist" | "--syslog" | "--verbose" if options => {}
                option if options && option.starts_with('-') => {
                    return Err(format!("unknown option {option}; -q, -a and -b are known"));
                }
                word => words.push(word.to_owned()),
            }
        }
        if words.is_empty() {
            return Err("which module? modprobe [-q] [-a] NAME [PARAMETER=VALUE]...".into());
        }
        if all {
            request.names = words;
        } else {
            request.names = vec![words.remove(0)];
            request.parameters = words.join(" ");
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_as_the_kernel_and_people_give_them() {
        let request = |quiet, names: &[&str], parameters: &str| Request {
            quiet,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            parameters: parameters.into(),
        };
        for (arguments, want) in [
            ("-q -- fs-ext4", Ok(request(true, &["fs-ext4"], ""))),
            (
                "-va bridge veth",
                Err("unknown option -va; -q, -a and -b are known"),
            ),
            (
                "-v -a bridge veth",
                Ok(request(false, &["bridge", "veth"], "")),
            ),
            (
                "nbd max_part=8 nbds_max=2",
                Ok(request(false, &["nbd"], "max_part=8 nbds_max=2")),
            ),
            (
                "",
                Err("which module? modprobe [-q] [-a] NAME [PARAMETER=VALUE]..."),
            ),
        ] {
            let words: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            assert_eq!(
                Request::parse(&words),
                want.map_err(str::to_owned),
                "{arguments}"
            );
        }
    }
}
