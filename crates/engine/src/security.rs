//! `--security-opt`.

use crate::error::{Error, Result};

/// What the options ask for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SecurityOptions {
    /// Whether the process cannot gain privileges; `None` is the engine's default.
    pub no_new_privileges: Option<bool>,
    /// The filter of system calls.
    pub seccomp: Seccomp,
    /// The control group files may be written.
    pub writable_cgroups: bool,
}

/// Which filter of system calls.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Seccomp {
    /// Docker's.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in Docker's JSON.
    Profile(String),
}

/// Parses `HostConfig.SecurityOpt`. SELinux and AppArmor do not exist in Coracle: their `unconfined` and `disable` are
/// what one gets, anything else is refused.
///
/// # Errors
/// Docker's texts.
pub fn parse(options: &[String]) -> Result<SecurityOptions> {
    let mut parsed = SecurityOptions::default();
    for option in options {
        let invalid =
            |number: u8| Error::Invalid(format!("invalid --security-opt {number}: {option:?}"));
        if option == "no-new-privileges" {
            parsed.no_new_privileges = Some(true);
            continue;
        }
        let (key, value) = option
            .split_once('=')
            .or_else(|| option.split_once(':'))
            .ok_or_else(|| invalid(1))?;
        let flag = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Error::Invalid(format!(
                "invalid --security-opt 2: {option:?}: expected true or false"
            ))),
        };
        match key {
            "no-new-privileges" => parsed.no_new_privileges = Some(flag()?),
            "writable-cgroups" => parsed.writable_cgroups = flag()?,
            "seccomp" => {
                parsed.seccomp = match value {
                    "unconfined" => Seccomp::Unconfined,
                    "builtin" => Seccomp::Default,
                    json => Seccomp::Profile(json.to_owned()),
                }
            }
            "apparmor" if matches!(value, "unconfined" | "") => {}
            "label" if value == "disable" => {}
            "apparmor" | "label" => {
                return Err(Error::Invalid(format!(
                    "invalid --security-opt 2: {option:?}: this kernel runs neither AppArmor nor SELinux"
                )));
            }
            _ => return Err(invalid(2)),
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed_or_refused() {
        let parse_one = |text: &str| parse(&[text.to_owned()]);
        let unconfined = SecurityOptions {
            seccomp: Seccomp::Unconfined,
            ..SecurityOptions::default()
        };
        assert_eq!(parse_one("seccomp=unconfined").unwrap(), unconfined);
        for (text, expected) in [
            ("no-new-privileges", Some(true)),
            ("no-new-privileges:false", Some(false)),
            ("seccomp=builtin", None),
        ] {
            assert_eq!(
                parse_one(text).unwrap().no_new_privileges,
                expected,
                "{text}"
            );
        }
        assert_eq!(
            parse_one("seccomp={}").unwrap().seccomp,
            Seccomp::Profile("{}".into())
        );
        for bad in ["nope", "x=y", "no-new-privileges=maybe", "apparmor=mine"] {
            assert!(
                parse_one(bad)
                    .unwrap_err()
                    .to_string()
                    .starts_with("invalid --security-opt "),
                "{bad}"
            );
        }
    }
}
