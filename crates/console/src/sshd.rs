//! `coracle console-sshd`: host keys, configuration, then sshd in the foreground (inventory A7-011, A7-013, H3-001, H3-002).
//! It is a line of `/etc/respawn.conf`, so that making keys on the first boot does not hold the login prompt up.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coracle_config::Config;

use crate::error::Error;
use crate::file;

/// Name of the role.
pub const ROLE: &str = "console-sshd";

/// Where host keys are kept: on the state partition, so that they outlive the console (B10-001).
const KEY_DIRECTORY: &str = "/var/lib/rancher/conf/ssh";
/// Where they go when the disk is full or read-only, and where keys from the configuration go.
const RUN_DIRECTORY: &str = "/run/coracle/ssh";

/// Prepares and becomes sshd; returns only when it cannot.
///
/// # Errors
/// No host key could be made, or sshd cannot be executed.
pub fn run(config: &Config) -> Result<std::convert::Infallible, Error> {
    // sshd's privilege separation directory, lost at each boot.
    file::directory(Path::new("/run/sshd"), 0o755, None)?;
    let keys = host_keys(config)?;
    let template = std::fs::read_to_string("/etc/ssh/sshd_config.tpl");
    let text = sshd_config(config, &keys, template.as_deref().unwrap_or(TEMPLATE));
    file::replace_if_different(Path::new("/etc/ssh/sshd_config"), text.as_bytes(), 0o644)?;
    let cause = Command::new("/usr/sbin/sshd").arg("-D").exec();
    Err(Error::Start {
        program: "/usr/sbin/sshd".to_owned(),
        cause,
    })
}

/// The host keys: those of `rancher.ssh.keys`, else the kept one, else a new one that is kept from now on.
///
/// Only an Ed25519 key is made: every ssh since 2014 knows it, and RSA takes seconds on a small machine.
fn host_keys(config: &Config) -> Result<Vec<PathBuf>, Error> {
    let configured = configured_keys(config);
    if !configured.is_empty() {
        let directory = Path::new(RUN_DIRECTORY);
        file::directory(directory, 0o700, None)?;
        let mut paths = Vec::new();
        for (name, private) in configured {
            let path = directory.join(name);
            file::replace(&path, private.as_bytes(), 0o600, None)?;
            paths.push(path);
        }
        return Ok(paths);
    }
    match kept_key(Path::new(KEY_DIRECTORY)) {
        Ok(path) => Ok(vec![path]),
        Err(error) => {
            tracing::error!("{error}; this host key will be another one after a reboot");
            kept_key(Path::new(RUN_DIRECTORY)).map(|path| vec![path])
        }
    }
}

/// File names and private keys of `rancher.ssh.keys`; the public halves (`rsa-pub`) are not needed by sshd.
fn configured_keys(config: &Config) -> Vec<(String, String)> {
    config
        .rancher
        .ssh
        .keys
        .iter()
        .filter(|(kind, key)| !kind.ends_with("-pub") && !key.trim().is_empty())
        .filter(|(kind, _)| kind.bytes().all(|b| b.is_ascii_alphanumeric()))
        .map(|(kind, key)| (format!("ssh_host_{kind}_key"), format!("{}\n", key.trim())))
        .collect()
}

/// The Ed25519 key in `directory`, made if it is missing. Half a key, from a power cut, is replaced.
fn kept_key(directory: &Path) -> Result<PathBuf, Error> {
    let path = directory.join("ssh_host_ed25519_key");
    let whole = |text: String| {
        text.trim_end()
            .ends_with("-----END OPENSSH PRIVATE KEY-----")
    };
    if std::fs::read_to_string(&path).is_ok_and(whole) {
        return Ok(path);
    }
    file::directory(directory, 0o700, None)?;
    let fresh = directory.join("new");
    let public = directory.join("new.pub");
    for leftover in [&fresh, &public] {
        let _ = std::fs::remove_file(leftover);
    }
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "coracle", "-f"])
        .arg(&fresh)
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| Error::Start {
            program: "ssh-keygen".to_owned(),
            cause,
        })?;
    if !output.status.success() {
        return Err(Error::Failed {
            program: format!("ssh-keygen for {}", path.display()),
            status: output.status,
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    let read = |path: &Path| std::fs::read(path).map_err(Error::file("read", path));
    file::replace_durably(
        &directory.join("ssh_host_ed25519_key.pub"),
        &read(&public)?,
        0o644,
    )?;
    file::replace_durably(&path, &read(&fresh)?, 0o600)?;
    for leftover in [&fresh, &public] {
        let _ = std::fs::remove_file(leftover);
    }
    Ok(path)
}

/// The template when the console image has none: the shipped console's.
const TEMPLATE: &str = include_str!("../../../images/console/files/etc/ssh/sshd_config.tpl");

/// The text of `/etc/ssh/sshd_config`: what the configuration says, then the image's template. sshd takes the first value
/// that it sees, so what comes first wins.
pub fn sshd_config(config: &Config, host_keys: &[PathBuf], template: &str) -> String {
    let ssh = &config.rancher.ssh;
    let mut text = String::from(
        "# Written at each start of sshd; put your own settings into /etc/ssh/sshd_config.d/*.conf, they win.\n\
         Include /etc/ssh/sshd_config.d/*.conf\n",
    );
    text.push_str(&format!("Port {}\n", ssh.port.unwrap_or(22)));
    if let Some(address) = &ssh.listen_address {
        text.push_str(&format!("ListenAddress {address}\n"));
    }
    for key in host_keys {
        text.push_str(&format!("HostKey {}\n", key.display()));
    }
    // Only a password from the kernel command line unlocks the account; without one there is nothing to guess.
    let password = match config.password() {
        Some(_) => "yes",
        None => "no",
    };
    text.push_str(&format!("PasswordAuthentication {password}\n"));
    text.push_str(template);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(tree: serde_json::Value) -> Config {
        serde_json::from_value(tree).unwrap()
    }

    #[test]
    fn port_address_and_keys_are_written() {
        let config =
            config(json!({"rancher": {"ssh": {"port": "2222", "listen_address": "10.0.0.1"}}}));
        assert_eq!(
            sshd_config(
                &config,
                &["/k/ssh_host_ed25519_key".into()],
                "AllowGroups docker\n"
            ),
            "# Written at each start of sshd; put your own settings into /etc/ssh/sshd_config.d/*.conf, they win.\n\
             Include /etc/ssh/sshd_config.d/*.conf\n\
             Port 2222\n\
             ListenAddress 10.0.0.1\n\
             HostKey /k/ssh_host_ed25519_key\n\
             PasswordAuthentication no\n\
             AllowGroups docker\n"
        );
    }

    #[test]
    fn the_template_is_upstreams_policy() {
        let policy = [
            "PermitRootLogin no",
            "AllowGroups docker",
            "MaxAuthTries 4",
            "ClientAliveInterval 180",
            "AllowTcpForwarding no",
        ];
        for line in policy {
            assert!(
                TEMPLATE.lines().any(|found| found == line),
                "{line} (H3-002)"
            );
        }
    }

    #[test]
    fn passwords_are_allowed_only_when_there_is_one() {
        let with = config(json!({"rancher": {"password": "x"}}));
        assert!(sshd_config(&with, &[], "").contains("\nPasswordAuthentication yes\n"));
        let forbidden = config(json!({"rancher": {"password": "x", "disable": ["password"]}}));
        assert!(sshd_config(&forbidden, &[], "").contains("\nPasswordAuthentication no\n"));
    }

    #[test]
    fn private_keys_of_the_configuration_are_used() {
        let config = config(json!({"rancher": {"ssh": {"keys": {
            "ed25519": "-----BEGIN\nabc\n-----END\n", "ed25519-pub": "ssh-ed25519 x", "rsa": "", "../x": "k",
        }}}}));
        assert_eq!(
            configured_keys(&config),
            [(
                "ssh_host_ed25519_key".to_owned(),
                "-----BEGIN\nabc\n-----END\n".to_owned()
            )]
        );
    }

    #[test]
    fn a_key_is_made_once_and_a_broken_one_again() {
        if Command::new("ssh-keygen").arg("-?").output().is_err() {
            eprintln!("SKIPPED: ssh-keygen is not installed");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("ssh");
        let path = kept_key(&keys).unwrap();
        let first = std::fs::read(&path).unwrap();
        assert_eq!(kept_key(&keys).unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), first);
        std::fs::write(&path, &first[..first.len() / 2]).unwrap();
        kept_key(&keys).unwrap();
        assert_ne!(std::fs::read(&path).unwrap(), first);
        let mut names: Vec<_> = std::fs::read_dir(&keys)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]);
    }
}
