//! The one shipped binary: it picks its role by the name it is called with.

mod roles;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use roles::{FALLBACK, ROLES, Role};

/// Arenas of the allocator: threads of the engine come and go with requests, and each arena keeps the most that it ever held.
const ARENAS: u16 = 2;

fn main() -> ExitCode {
    // Without it the program is only larger.
    let _ = coracle_sys::allocator::limit_arenas(ARENAS);
    let args: Vec<OsString> = std::env::args_os().collect();
    let (role, rest) = match pick(&args) {
        Ok(picked) => picked,
        Err(message) => {
            eprintln!("coracle: {message}");
            return ExitCode::from(2);
        }
    };
    match (role.run)(rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}: {error:#}", role.name);
            ExitCode::FAILURE
        }
    }
}

/// The role that `args` (with `argv[0]`) asks for, and the arguments left for it: the base name of `argv[0]`, or
/// `argv[1]` when called as `coracle`.
fn pick(args: &[OsString]) -> Result<(&'static Role, Vec<OsString>), String> {
    let called = args
        .first()
        .and_then(|arg| Path::new(arg).file_name())
        .and_then(|name| name.to_str())
        .unwrap_or("coracle");
    if called != "coracle" {
        let role = find(called).or_else(|| find(FALLBACK));
        return match role {
            Some(role) => Ok((role, args[1..].to_vec())),
            None => Err(format!("unknown role {called:?}; {}", known())),
        };
    }
    let Some(name) = args.get(1) else {
        return Err(format!("no role given; {}", known()));
    };
    match name.to_str().and_then(find) {
        Some(role) => Ok((role, args[2..].to_vec())),
        None => Err(format!("unknown role {name:?}; {}", known())),
    }
}

fn find(name: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.name == name)
}

fn known() -> String {
    let names: Vec<&str> = ROLES.iter().map(|role| role.name).collect();
    format!("roles are: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments, and the role with what is left of them, or how the error starts.
    type Case<'a> = (&'a [&'a str], Result<(&'a str, &'a [&'a str]), &'a str>);

    #[test]
    fn role_is_the_base_name_or_the_first_argument() {
        let table: &[Case] = &[
            (
                &["/usr/bin/coracle", "engine", "--root", "/x"],
                Ok(("engine", &["--root", "/x"])),
            ),
            (&["engine", "-h"], Ok(("engine", &["-h"]))),
            (&["coracle"], Err("no role given")),
            (&["coracle", "nonsense"], Err("unknown role \"nonsense\"")),
        ];
        for (args, expected) in table {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            match (pick(&args), expected) {
                (Ok((role, rest)), Ok((name, want))) => {
                    assert_eq!(role.name, *name);
                    assert_eq!(rest, want.iter().map(OsString::from).collect::<Vec<_>>());
                }
                (Err(message), Err(start)) => assert!(message.starts_with(start), "{message}"),
                (got, want) => panic!(
                    "{args:?}: got {:?}, want {want:?}",
                    got.map(|(role, _)| role.name)
                ),
            }
        }
    }
}
