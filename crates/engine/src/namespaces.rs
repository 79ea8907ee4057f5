//! Which namespaces a container has of its own, shares with the host, or takes from another container.

use std::path::PathBuf;

use bollard_stubs::models::{HostConfig, HostConfigCgroupnsModeEnum};

use crate::error::{Error, Result};

/// One namespace of a container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Namespace {
    /// A new one.
    New,
    /// The engine's.
    Host,
    /// The one behind this path.
    Join(PathBuf),
}

/// What a mode of `HostConfig` asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mode<'a> {
    /// A namespace of its own.
    Private,
    /// The host's.
    Host,
    /// That of another container.
    Container(&'a str),
    /// A network by name: a namespace of its own, with an interface.
    Network(&'a str),
}

/// The namespaces of a container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Namespaces {
    /// Process ids.
    pub pid: Namespace,
    /// System V IPC and POSIX message queues.
    pub ipc: Namespace,
    /// Host name.
    pub uts: Namespace,
    /// Network.
    pub net: Namespace,
    /// View of the control groups.
    pub cgroup: Namespace,
}

/// Namespaces as words, before other containers are looked up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Modes<'a> {
    /// `PidMode`.
    pub pid: Mode<'a>,
    /// `IpcMode`.
    pub ipc: Mode<'a>,
    /// `UTSMode`.
    pub uts: Mode<'a>,
    /// `NetworkMode`.
    pub net: Mode<'a>,
    /// `CgroupnsMode`.
    pub cgroup: Mode<'a>,
}

impl<'a> Modes<'a> {
    /// Reads the modes of a configuration.
    ///
    /// # Errors
    /// Docker's texts for modes that do not exist.
    pub fn parse(config: &'a HostConfig) -> Result<Self> {
        let other = |text: &'a str| {
            text.strip_prefix("container:")
                .filter(|name| !name.is_empty())
        };
        let pid = match config.pid_mode.as_deref().unwrap_or_default() {
            "" | "private" => Mode::Private,
            "host" => Mode::Host,
            text => Mode::Container(
                other(text).ok_or_else(|| Error::Invalid("invalid PID mode".into()))?,
            ),
        };
        let ipc = match config.ipc_mode.as_deref().unwrap_or_default() {
            "" | "private" | "shareable" | "none" => Mode::Private,
            "host" => Mode::Host,
            text => Mode::Container(
                other(text).ok_or_else(|| Error::Invalid(format!("invalid IPC mode: {text}")))?,
            ),
        };
        let uts = match config.uts_mode.as_deref().unwrap_or_default() {
            "" | "private" => Mode::Private,
            "host" => Mode::Host,
            _ => return Err(Error::Invalid("invalid UTS mode".into())),
        };
        let net = match config.network_mode.as_deref().unwrap_or_default() {
            "" | "none" => Mode::Private,
            "host" => Mode::Host,
            text => other(text).map_or(Mode::Network(text), Mode::Container),
        };
        let cgroup = match config.cgroupns_mode {
            Some(HostConfigCgroupnsModeEnum::HOST) => Mode::Host,
            _ => Mode::Private,
        };
        Ok(Self {
            pid,
            ipc,
            uts,
            net,
            cgroup,
        })
    }

    /// Looks up the containers whose namespaces are joined: `join` gives the path of a namespace (its name in
    /// `/proc/PID/ns`) of a running container.
    ///
    /// # Errors
    /// Those of `join`, and [`Error::MissingForStart`].
    pub fn resolve(&self, join: impl Fn(&str, &str) -> Result<PathBuf>) -> Result<Namespaces> {
        let one = |mode: &Mode<'_>, kind: &str| match mode {
            Mode::Private | Mode::Network(_) => Ok(Namespace::New),
            Mode::Host => Ok(Namespace::Host),
            Mode::Container(name) => join(name, kind).map(Namespace::Join),
        };
        Ok(Namespaces {
            pid: one(&self.pid, "pid")?,
            ipc: one(&self.ipc, "ipc")?,
            // A container that joins a network has the host name of its owner, but may set its own.
            uts: one(&self.uts, "uts")?,
            net: one(&self.net, "net")?,
            cgroup: one(&self.cgroup, "cgroup")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_words_or_containers() {
        let config = HostConfig {
            pid_mode: Some("host".into()),
            ipc_mode: Some("container:a".into()),
            network_mode: Some("none".into()),
            ..HostConfig::default()
        };
        let modes = Modes::parse(&config).unwrap();
        assert_eq!(
            modes
                .resolve(|name, kind| Ok(format!("/proc/{name}/ns/{kind}").into()))
                .unwrap(),
            Namespaces {
                pid: Namespace::Host,
                ipc: Namespace::Join("/proc/a/ns/ipc".into()),
                uts: Namespace::New,
                net: Namespace::New,
                cgroup: Namespace::New,
            }
        );
        for (config, text) in [
            (
                HostConfig {
                    pid_mode: Some("nope".into()),
                    ..HostConfig::default()
                },
                "invalid PID mode",
            ),
            (
                HostConfig {
                    ipc_mode: Some("container:".into()),
                    ..HostConfig::default()
                },
                "invalid IPC mode: container:",
            ),
            (
                HostConfig {
                    uts_mode: Some("x".into()),
                    ..HostConfig::default()
                },
                "invalid UTS mode",
            ),
        ] {
            assert_eq!(Modes::parse(&config).unwrap_err().to_string(), text);
        }
        let bridge = HostConfig {
            network_mode: Some("bridge".into()),
            ..HostConfig::default()
        };
        let resolved = Modes::parse(&bridge)
            .unwrap()
            .resolve(|_, _| Ok("/".into()));
        assert_eq!(resolved.unwrap().net, Namespace::New);
    }
}
