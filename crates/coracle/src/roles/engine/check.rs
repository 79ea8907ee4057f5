//! `coracle engine check`: whether what an engine keeps agrees with itself.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use coracle_engine::Check;

const USAGE: &str = "usage: coracle engine check [--root DIR] [--exec-root DIR] [--images DIR] [--cgroup-parent PATH] [--digests]

Looks at containers, images, volumes, networks and what is left of them in the kernel. Prints one finding per line: on what,
what is wrong, what to do. Changes nothing; the engine may run. Without options it is System Docker that is looked at.

  --digests  read every layer, too, and compare its digest

Exit code: 0 nothing is wrong, 1 something is.";

/// Prints the findings.
pub fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let Some(check) = parse(args)? else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let findings = check.run();
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}").context("print a finding")?;
    }
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

/// `None`: help is wanted.
fn parse(args: Vec<OsString>) -> anyhow::Result<Option<Check>> {
    // System Docker's places (ARCHITECTURE.md).
    let mut check = Check {
        root: "/var/lib/system-docker".into(),
        exec_root: "/run/system-docker".into(),
        bundled: None,
        cgroup_parent: "/system-docker".to_owned(),
        digests: false,
    };
    let bundled = std::path::Path::new("/usr/lib/coracle");
    let mut args = args.into_iter();
    while let Some(name) = args.next() {
        match name.to_str() {
            Some("--digests") => {
                check.digests = true;
                continue;
            }
            Some("--help" | "-h") => return Ok(None),
            _ => {}
        }
        let mut value = || {
            args.next()
                .with_context(|| format!("{} needs a value\n{USAGE}", name.display()))
        };
        match name.to_str() {
            Some("--root") => check.root = value()?.into(),
            Some("--exec-root") => check.exec_root = value()?.into(),
            Some("--images") => check.bundled = Some(value()?.into()),
            Some("--cgroup-parent") => {
                check.cgroup_parent = value()?.to_string_lossy().into_owned();
            }
            _ => bail!("unknown option {}\n{USAGE}", name.display()),
        }
    }
    if check.bundled.is_none() && bundled.join("images/index.json").exists() {
        check.bundled = Some(bundled.to_owned());
    }
    Ok(Some(check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_docker_is_looked_at_unless_told_otherwise() {
        let of = |line: &str| parse(line.split_whitespace().map(OsString::from).collect());
        let shown = |check: Check| {
            format!(
                "{} {} {} {}",
                check.root.display(),
                check.exec_root.display(),
                check.cgroup_parent,
                check.digests
            )
        };
        for (line, expected) in [
            (
                "",
                "/var/lib/system-docker /run/system-docker /system-docker false",
            ),
            (
                "--root /r --digests --exec-root /x --cgroup-parent /c",
                "/r /x /c true",
            ),
        ] {
            assert_eq!(shown(of(line).unwrap().unwrap()), expected);
        }
        for (line, text) in [
            ("--root", "--root needs a value"),
            ("--nope x", "unknown option --nope"),
        ] {
            assert!(of(line).unwrap_err().to_string().starts_with(text));
        }
    }
}
