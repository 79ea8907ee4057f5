//! The typed view of the merged tree (inventory B.2, B.3, B.4).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{DockerConfig, Network, lenient};

/// Everything that Coracle reads of a cloud-config. Keys that are not named here stay in the tree.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Host name; unset means [`Defaults::hostname`], or what DHCP says.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub hostname: Option<String>,
    /// Keys that may log in as `rancher` and `docker`.
    #[serde(deserialize_with = "lenient::strings")]
    pub ssh_authorized_keys: Vec<String>,
    /// Files to write into a container's root.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub write_files: Vec<WriteFile>,
    /// `[device, mount point, type, options]`, mounted when the console starts.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub mounts: Vec<Vec<String>>,
    /// Run when the console starts.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub runcmd: Vec<Command>,
    /// Run before the state partition is mounted.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub bootcmd: Vec<Command>,
    /// All the rest.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub rancher: Rancher,
}

/// A command: a line for the shell, or the words of one (B2-012).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// For `sh -c`.
    Shell(String),
    /// Executed as it is.
    Words(Vec<String>),
}

/// One of `write_files` (B2-003 to B2-009).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WriteFile {
    /// Absolute path.
    #[serde(deserialize_with = "lenient::string")]
    pub path: String,
    /// Text, or what `encoding` says.
    #[serde(deserialize_with = "lenient::string")]
    pub content: String,
    /// Empty, `b64`, `base64`, `gz`, `gzip`, or both joined by `+`.
    #[serde(deserialize_with = "lenient::string")]
    pub encoding: String,
    /// `user` or `user:group`.
    #[serde(deserialize_with = "lenient::string")]
    pub owner: String,
    /// Octal mode.
    #[serde(deserialize_with = "lenient::string")]
    pub permissions: String,
    /// System container that gets the file; empty means `console`.
    #[serde(deserialize_with = "lenient::string")]
    pub container: String,
}

/// `rancher:`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rancher {
    /// Console image.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub console: Option<String>,
    /// Variables for services.
    #[serde(deserialize_with = "lenient::string_map")]
    pub environment: BTreeMap<String, String>,
    /// System services, in compose's words, in the order they were written.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub services: Map<String, Value>,
    /// Optional services by name, URL or path, and whether they are enabled.
    #[serde(deserialize_with = "lenient::boolean_map")]
    pub services_include: BTreeMap<String, bool>,
    /// Catalogues of services, images and consoles.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub repositories: Map<String, Value>,
    /// Credentials for registries.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub registry_auths: Map<String, Value>,
    /// Where user data comes from.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub cloud_init: CloudInit,
    /// More messages everywhere.
    #[serde(deserialize_with = "lenient::boolean")]
    pub debug: bool,
    /// Log to the console.
    #[serde(deserialize_with = "lenient::boolean")]
    pub log: bool,
    /// Leave `/` private.
    #[serde(deserialize_with = "lenient::boolean")]
    pub no_sharedroot: bool,
    /// Rebuild the console container at the next boot.
    #[serde(deserialize_with = "lenient::boolean")]
    pub force_console_rebuild: bool,
    /// Boot to a recovery shell.
    #[serde(deserialize_with = "lenient::boolean")]
    pub recovery: bool,
    /// Features of the kernel command line that are ignored: `password`, `autologin` (B3-019).
    #[serde(deserialize_with = "lenient::strings")]
    pub disable: Vec<String>,
    /// Kernel modules to load, each with its parameters.
    #[serde(deserialize_with = "lenient::strings")]
    pub modules: Vec<String>,
    /// Kernel parameters, by dotted name.
    #[serde(deserialize_with = "lenient::string_map")]
    pub sysctl: BTreeMap<String, String>,
    /// Services restarted after the first part of cloud-init.
    #[serde(deserialize_with = "lenient::strings")]
    pub restart_services: Vec<String>,
    /// Disk to grow.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub resize_device: Option<String>,
    /// Whether to enable the guest tools of the hypervisor; unset means yes.
    #[serde(deserialize_with = "lenient::optional_boolean")]
    pub hypervisor_service: Option<bool>,
    /// Seconds; see [`Config::shutdown_timeout`].
    #[serde(deserialize_with = "lenient::optional_number")]
    pub shutdown_timeout: Option<u64>,
    /// Retries of downloads; unset means 6.
    #[serde(deserialize_with = "lenient::optional_number")]
    pub http_load_retries: Option<u64>,
    /// Wait for preloaded images.
    #[serde(deserialize_with = "lenient::boolean")]
    pub preload_wait: bool,
    /// Password of user `rancher`, from the kernel command line only; read it through [`Config::password`].
    #[serde(deserialize_with = "lenient::optional_string")]
    pub password: Option<String>,
    /// Consoles that log in by themselves, from the kernel command line only; read it through [`Config::autologin`].
    #[serde(deserialize_with = "lenient::strings")]
    pub autologin: Vec<String>,
    /// The persistent root.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub state: State,
    /// The network.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub network: Network,
    /// The SSH daemon.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub ssh: Ssh,
    /// What is used when nothing else is said.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub defaults: Defaults,
    /// User Docker.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub docker: DockerConfig,
    /// System Docker.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub system_docker: DockerConfig,
    /// Upgrades.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub upgrade: Upgrade,
}

/// `rancher.cloud_init`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CloudInit {
    /// `name` or `name:root` (C1-001).
    #[serde(deserialize_with = "lenient::strings")]
    pub datasources: Vec<String>,
}

/// `rancher.state` (B.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct State {
    /// Sub-directory of the partition that holds everything.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub directory: Option<String>,
    /// File system; unset or `auto` means what the partition holds.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub fstype: Option<String>,
    /// `LABEL=`, `UUID=`, `PARTLABEL=`, `PARTUUID=` or a path below `/dev`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub dev: Option<String>,
    /// Wait for the device.
    #[serde(deserialize_with = "lenient::boolean")]
    pub wait: bool,
    /// Fail rather than run in memory.
    #[serde(deserialize_with = "lenient::boolean")]
    pub required: bool,
    /// Devices of which the first blank one is formatted.
    #[serde(deserialize_with = "lenient::strings")]
    pub autoformat: Vec<String>,
    /// Assemble software RAID first.
    #[serde(deserialize_with = "lenient::boolean")]
    pub mdadm_scan: bool,
    /// Activate volume groups first.
    #[serde(deserialize_with = "lenient::boolean")]
    pub lvm_scan: bool,
    /// Open LUKS devices first, with a passphrase from the console.
    #[serde(deserialize_with = "lenient::boolean")]
    pub cryptsetup: bool,
    /// Shell script run before the partition is mounted.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub script: Option<String>,
    /// OEM partition; unset means `LABEL=RANCHER_OEM`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub oem_dev: Option<String>,
    /// File system of the OEM partition.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub oem_fstype: Option<String>,
    /// Boot partition; unset means `LABEL=RANCHER_BOOT`.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub boot_dev: Option<String>,
    /// File system of the boot partition.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub boot_fstype: Option<String>,
}

/// `rancher.ssh`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ssh {
    /// Whether sshd runs; unset means yes.
    #[serde(deserialize_with = "lenient::optional_boolean")]
    pub daemon: Option<bool>,
    /// Port; unset means 22.
    #[serde(deserialize_with = "lenient::optional_number")]
    pub port: Option<u64>,
    /// Address; unset means all.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub listen_address: Option<String>,
    /// Host keys: `rsa`, `rsa-pub`, `ed25519`, …
    #[serde(deserialize_with = "lenient::string_map")]
    pub keys: BTreeMap<String, String>,
}

/// `rancher.defaults`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// Host name when none is configured and DHCP gives none.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub hostname: Option<String>,
    /// User Docker when nothing is configured.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub docker: DockerConfig,
    /// Network when nothing is configured.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub network: Network,
    /// Log file of System Docker.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub system_docker_logs: Option<String>,
}

/// `rancher.upgrade`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Upgrade {
    /// List of versions.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub url: Option<String>,
    /// Image that upgrades.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub image: Option<String>,
    /// Version to go back to.
    #[serde(deserialize_with = "lenient::optional_string")]
    pub rollback: Option<String>,
}

impl Config {
    /// The host name: the configured one, the default one, or `coracle`.
    #[must_use]
    pub fn effective_hostname(&self) -> &str {
        let named = self.hostname.as_deref().filter(|name| !name.is_empty());
        named
            .or(self.rancher.defaults.hostname.as_deref())
            .unwrap_or("coracle")
    }

    /// Seconds that a shutdown may take before it is forced: 60 unless configured, never less than 5 (A8-004).
    #[must_use]
    pub fn shutdown_timeout(&self) -> u64 {
        self.rancher.shutdown_timeout.unwrap_or(60).max(5)
    }

    /// The password for user `rancher`, unless `rancher.disable` forbids it (A7-009).
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.rancher
            .password
            .as_deref()
            .filter(|_| !self.is_disabled("password"))
    }

    /// Whether `console` (such as `ttyS0`) logs in without a password: `rancher.autologin` is part of its name (A9-005),
    /// unless `rancher.disable` forbids it.
    #[must_use]
    pub fn autologin(&self, console: &str) -> bool {
        !self.is_disabled("autologin")
            && self
                .rancher
                .autologin
                .iter()
                .any(|text| !text.is_empty() && console.contains(text))
    }

    /// Whether sshd is to run.
    #[must_use]
    pub fn ssh_daemon(&self) -> bool {
        self.rancher.ssh.daemon.unwrap_or(true)
    }

    fn is_disabled(&self, feature: &str) -> bool {
        self.rancher
            .disable
            .iter()
            .any(|disabled| disabled == feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        serde_json::from_value(crate::yaml::parse("test", yaml).unwrap().tree).unwrap()
    }

    #[test]
    fn defaults_hold_when_nothing_is_said() {
        let config = config("rancher:\n  state:\n  network: ~\n");
        assert_eq!(config, Config::default());
        assert_eq!(
            (
                config.effective_hostname(),
                config.shutdown_timeout(),
                config.ssh_daemon()
            ),
            ("coracle", 60, true)
        );
    }

    #[test]
    fn keys_take_the_spellings_that_people_use() {
        let config = config(
            "hostname: 12\n\
             mounts: [[LABEL=a, /mnt/a, ext4, '']]\n\
             runcmd: [echo hi, [touch, /x]]\n\
             write_files: [{path: /a, permissions: 0600, content: 5}]\n\
             rancher:\n  state: {dev: LABEL=X, wait: 'yes', autoformat: /dev/vda}\n  shutdown_timeout: '2'\n  docker: {graph: /x, tls: on}\n\
            \x20 sysctl: {vm.swappiness: 0}\n  environment: {A: 1, B: true, C: }\n  services_include: {x: 'true'}\n",
        );
        assert_eq!(config.effective_hostname(), "12");
        assert_eq!(config.shutdown_timeout(), 5);
        assert_eq!(config.mounts, [["LABEL=a", "/mnt/a", "ext4", ""]]);
        assert_eq!(
            config.runcmd,
            [
                Command::Shell("echo hi".into()),
                Command::Words(vec!["touch".into(), "/x".into()])
            ]
        );
        assert_eq!(
            (
                config.write_files[0].permissions.as_str(),
                config.write_files[0].content.as_str()
            ),
            ("0600", "5")
        );
        assert!(
            config.rancher.state.wait
                && config.rancher.docker.tls
                && config.rancher.services_include["x"]
        );
        assert_eq!(config.rancher.state.autoformat, ["/dev/vda"]);
        assert_eq!(config.rancher.docker.data_root.as_deref(), Some("/x"));
        assert_eq!(config.rancher.sysctl["vm.swappiness"], "0");
        assert_eq!(
            config.rancher.environment,
            [("A", "1"), ("B", "true")]
                .map(|(k, v)| (k.into(), v.into()))
                .into()
        );
    }

    #[test]
    fn password_and_autologin_can_be_forbidden() {
        let mut config = config("rancher: {password: x, autologin: [tty1, ttyS]}");
        assert_eq!(config.password(), Some("x"));
        assert_eq!(
            [
                config.autologin("tty1"),
                config.autologin("ttyS0"),
                config.autologin("tty2")
            ],
            [true, true, false]
        );
        config.rancher.disable = vec!["password".into(), "autologin".into()];
        assert_eq!((config.password(), config.autologin("tty1")), (None, false));
    }
}
