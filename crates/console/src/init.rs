//! `ros console-init`: the steps before the console's programs run, as data.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_config::Config;

use crate::account::{self, LOGIN_USERS};
use crate::authorized_keys;
use crate::banner::Banner;
use crate::consoles;
use crate::engine_links;
use crate::error::Error;
use crate::file;
use crate::hooks;
use crate::password;
use crate::profile;
use crate::respawn;
use crate::write_files;

/// What the steps work with.
pub struct Context {
    /// The console's root; `/` but in tests.
    pub root: PathBuf,
    /// The machine's configuration.
    pub config: Config,
}

/// A step: what it is, for messages, and what it does. Each can be done again at any time.
pub struct Step {
    /// Reads well after "console: ".
    pub name: &'static str,
    run: fn(&Context) -> Result<(), Error>,
}

/// All steps in order.
pub const STEPS: &[Step] = &[
    Step {
        name: "quiet the kernel on the consoles",
        run: quiet_kernel,
    },
    Step {
        name: "make the run-time directories",
        run: runtime_files,
    },
    Step {
        name: "make the home directories",
        run: homes,
    },
    Step {
        name: "set the password",
        run: set_password,
    },
    Step {
        name: "write os-release",
        run: os_release,
    },
    Step {
        name: "link Docker's programs",
        run: |context| engine_links::make(&context.root),
    },
    Step {
        name: "write profile.d",
        run: |context| profile::write(&context.root, &context.config),
    },
    Step {
        name: "authorize SSH keys",
        run: authorize,
    },
    Step {
        name: "write files of cloud-config",
        run: write_configured_files,
    },
    Step {
        name: "write the banner",
        run: |context| Banner::current().write_issue(&context.root),
    },
    Step {
        name: "write respawn.conf",
        run: respawn_conf,
    },
    Step {
        name: "start boot commands",
        run: start_hooks,
    },
];

/// Does every step and becomes `respawn`. A step that fails is logged, and the next one is done.
///
/// # Errors
/// Only when `respawn` itself cannot be executed.
pub fn run(config: Config) -> Error {
    let context = Context {
        root: PathBuf::from("/"),
        config,
    };
    for step in STEPS {
        if let Err(error) = (step.run)(&context) {
            tracing::error!("console: cannot {}: {error}", step.name);
        }
    }
    let cause = Command::new("/proc/self/exe")
        .arg0("respawn")
        .args(["-f", respawn::CONFIGURATION])
        .exec();
    Error::Start {
        program: "respawn".to_owned(),
        cause,
    }
}

/// Kernel messages stay out of login prompts (A7-008); they are in dmesg.
fn quiet_kernel(context: &Context) -> Result<(), Error> {
    if context.config.rancher.debug {
        return Ok(());
    }
    let path = Path::new("/proc/sys/kernel/printk");
    std::fs::write(path, "1").map_err(Error::file("write", path))
}

fn runtime_files(context: &Context) -> Result<(), Error> {
    file::directory(&context.root.join("run/lock"), 0o1777, None)?;
    file::directory(&context.root.join("var/log"), 0o755, None)?;
    let accounting = [
        ("run/utmp", 0o664),
        ("var/log/wtmp", 0o664),
        ("var/log/btmp", 0o660),
    ];
    for (name, mode) in accounting {
        let path = context.root.join(name);
        if !path.exists() {
            file::replace(&path, b"", mode, None)?;
        }
    }
    Ok(())
}

fn homes(context: &Context) -> Result<(), Error> {
    LOGIN_USERS
        .iter()
        .try_for_each(|user| account::make_home(&context.root, user))
}

fn set_password(context: &Context) -> Result<(), Error> {
    match context.config.password() {
        Some(password) => password::set("rancher", password),
        None => Ok(()),
    }
}

/// The console says which system it is part of, not which distribution it was made from (I1-033).
fn os_release(context: &Context) -> Result<(), Error> {
    let source = context.root.join("usr/share/ros/os-release");
    // An image that is Coracle's own says it already.
    let Ok(text) = std::fs::read(&source) else {
        return Ok(());
    };
    let target = context.root.join("etc/os-release");
    if std::fs::read(&target).is_ok_and(|current| current == text) {
        return Ok(());
    }
    if std::fs::read_link(&target).is_ok() {
        std::fs::remove_file(&target).map_err(Error::file("remove", &target))?;
    }
    file::replace_if_different(&target, &text, 0o644).map(drop)
}

fn authorize(context: &Context) -> Result<(), Error> {
    LOGIN_USERS.iter().try_for_each(|user| {
        authorized_keys::authorize(&context.root, user, &context.config.ssh_authorized_keys)
    })
}

/// Every file is tried; the first failure is reported with its path, others are logged.
fn write_configured_files(context: &Context) -> Result<(), Error> {
    let mut first = Ok(());
    for entry in &context.config.write_files {
        if !write_files::is_for(entry, "console") {
            continue;
        }
        if let Err(error) = write_files::write(&context.root, entry) {
            match first {
                Ok(()) => first = Err(error),
                Err(_) => tracing::error!("console: {error}"),
            }
        }
    }
    first
}

fn respawn_conf(context: &Context) -> Result<(), Error> {
    let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let mut files: Vec<PathBuf> = std::fs::read_dir(context.root.join("etc/respawn.conf.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut extra = Vec::new();
    for path in files {
        extra.push(std::fs::read_to_string(&path).map_err(Error::file("read", &path))?);
    }
    let text = consoles::respawn_conf(&context.config, &active, &extra);
    let path = context
        .root
        .join(respawn::CONFIGURATION.trim_start_matches('/'));
    file::replace_if_different(&path, text.as_bytes(), 0o644).map(drop)
}

fn start_hooks(context: &Context) -> Result<(), Error> {
    match hooks::any(&context.root, &context.config) {
        true => hooks::start(),
        false => hooks::done(&context.root),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The steps that touch nothing but the root that they are given.
    #[test]
    fn a_root_is_prepared_and_preparing_again_changes_nothing() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: needs root to set owners");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        for path in [
            "etc/respawn.conf.d",
            "run",
            "usr/bin",
            "usr/share/ros",
            "usr/lib",
        ] {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
        std::fs::write(
            root.join("etc/passwd"),
            "rancher:x:1100:1100::/home/rancher:/bin/bash\ndocker:x:1101:1101::/home/docker:/bin/bash\n",
        )
        .unwrap();
        std::os::unix::fs::symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
        std::fs::write(root.join("usr/lib/os-release"), "ID=debian\n").unwrap();
        std::fs::write(root.join("usr/share/ros/os-release"), "ID=coracle\n").unwrap();
        std::fs::write(root.join("etc/respawn.conf.d/mine"), "/opt/mine -x\n").unwrap();
        let config = json!({
            "ssh_authorized_keys": ["ssh-ed25519 AAA a"],
            "write_files": [
                {"path": "/etc/motd", "content": "hi\n"},
                {"path": "/etc/ntp.conf", "content": "x", "container": "ntp"},
                {"path": "bad", "content": "x"},
            ],
        });
        let context = Context {
            root: root.clone(),
            config: serde_json::from_value(config).unwrap(),
        };
        let own = [
            runtime_files as fn(&Context) -> Result<(), Error>,
            homes,
            os_release,
            |context| engine_links::make(&context.root),
            authorize,
            respawn_conf,
        ];
        for _ in 0..2 {
            for step in own {
                step(&context).unwrap();
            }
            let error = write_configured_files(&context).unwrap_err();
            assert_eq!(
                error.to_string(),
                "write_files[\"bad\"].path: is not absolute"
            );
        }
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read("etc/os-release"), "ID=coracle\n");
        assert_eq!(read("usr/lib/os-release"), "ID=debian\n");
        assert_eq!(read("etc/motd"), "hi\n");
        assert!(!root.join("etc/ntp.conf").exists());
        for user in LOGIN_USERS {
            assert_eq!(
                read(&format!("home/{user}/.ssh/authorized_keys")),
                "ssh-ed25519 AAA a\n"
            );
        }
        assert!(read("etc/respawn.conf").ends_with("/opt/mine -x\n"));
    }
}
