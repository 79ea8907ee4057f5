//! dockerd's configuration file: Coracle's defaults, under the user's `daemon.json`, under `rancher.docker`
//! (inventory B.6). Everything goes into one file, because dockerd refuses to start when a setting is both in its file and
//! on its command line, which upstream's users ran into.

use std::path::Path;

use coracle_config::DockerConfig;
use serde_json::{Map, Value, json};

use crate::paths::{CONTAINERD_SOCKET, DOCKER_PID};
use crate::tls;

/// What dockerd is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonConfig {
    /// The configuration file.
    pub file: Map<String, Value>,
    /// `extra_args` and `tls_args` as far as they are not settings of the file.
    pub arguments: Vec<String>,
    /// What was left out, for the log.
    pub problems: Vec<String>,
}

impl DaemonConfig {
    /// From the configuration and the text of the user's `daemon.json`, if there is one.
    pub fn new(docker: &DockerConfig, user_file: Option<&str>) -> Self {
        let mut config = Self {
            file: defaults(),
            arguments: Vec::new(),
            problems: Vec::new(),
        };
        if let Some(text) = user_file {
            config.merge_user_file(text);
        }
        // os-config.yml spells Coracle's defaults out; saying them again does not overrule the user's file.
        let defaults = defaults();
        let said = settings(docker).into_iter();
        config
            .file
            .extend(said.filter(|(key, value)| defaults.get(key) != Some(value)));
        config.add_arguments(&docker.extra_args);
        if docker.tls {
            config.add_tls(docker);
        }
        config.normalize_hosts();
        config.normalize_log_options();
        config
    }

    /// The directory of images, containers and volumes.
    pub fn data_root(&self) -> &Path {
        let configured = self.file.get("data-root").and_then(Value::as_str);
        Path::new(configured.unwrap_or("/var/lib/docker"))
    }

    /// Whether debugging is on.
    pub fn debug(&self) -> bool {
        self.file.get("debug") == Some(&Value::Bool(true))
    }

    /// Turns live-restore off on a node of a swarm, where dockerd does not start with it.
    pub fn fit_swarm_node(&mut self) {
        let live_restore = self.file.insert("live-restore".to_owned(), json!(false));
        if live_restore == Some(json!(true)) {
            self.problems.push(
                "this machine is in a swarm: live-restore, which Docker does not combine with that, is off"
                    .to_owned(),
            );
        }
    }

    /// The file's text; for a shutdown without live-restore, so that dockerd stops the containers when it ends.
    pub fn render(&self, shutting_down: bool) -> String {
        let mut file = self.file.clone();
        if shutting_down {
            file.insert("live-restore".to_owned(), Value::Bool(false));
        }
        format!("{:#}\n", Value::Object(file))
    }

    /// A broken file is left out as a whole: half of somebody's settings may be worse than none.
    fn merge_user_file(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => self.file.extend(map),
            Ok(_) => self.problem("is not a JSON object"),
            Err(error) => self.problem(&format!("is not JSON: {error}")),
        }
    }

    fn problem(&mut self, what: &str) {
        let file = crate::paths::USER_DAEMON_JSON;
        self.problems
            .push(format!("{file} {what}; the file is not used"));
    }

    /// Sorts arguments into addresses to listen on, which join those of the file, and others. A setting of the file gives
    /// way to an argument of the same name.
    fn add_arguments(&mut self, arguments: &[String]) {
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            let host = match argument {
                "-H" | "--host" => arguments.next(),
                _ => argument
                    .strip_prefix("--host=")
                    .or_else(|| argument.strip_prefix("-H=")),
            };
            match host {
                Some(host) => self.listen_on(host),
                None => {
                    for key in keys_of(argument) {
                        self.file.remove(&key);
                    }
                    self.arguments.push(argument.to_owned());
                }
            }
        }
    }

    fn add_tls(&mut self, docker: &DockerConfig) {
        if docker.tls_args.is_empty() {
            self.file.extend(tls::settings());
            self.listen_on("tcp://0.0.0.0:2376");
        } else {
            self.add_arguments(&docker.tls_args);
        }
    }

    fn listen_on(&mut self, host: &str) {
        let hosts = self.file.entry("hosts").or_insert_with(|| json!([]));
        if let Value::Array(hosts) = hosts {
            hosts.push(json!(host));
        }
    }

    /// dockerd's own socket is the one that PID 1 hands over (`fd://`), whatever it was called before; the rest stays.
    fn normalize_hosts(&mut self) {
        let hosts = self.file.remove("hosts");
        let wanted = hosts
            .as_ref()
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut listen = vec![json!("fd://")];
        for host in wanted.filter_map(Value::as_str) {
            let own = matches!(
                host,
                "fd://" | "unix:///var/run/docker.sock" | "unix:///run/docker.sock" | "unix://"
            );
            // B6-021 writes -H=0.0.0.0:2376
            let host = match host.contains("://") {
                true => host.to_owned(),
                false => format!("tcp://{host}"),
            };
            if !own && !listen.contains(&json!(host)) {
                listen.push(json!(host));
            }
        }
        self.file.insert("hosts".to_owned(), Value::Array(listen));
    }

    /// Sizes are an option of the file drivers only; others refuse them.
    fn normalize_log_options(&mut self) {
        let default = defaults().remove("log-opts");
        let driver = self.file.get("log-driver").and_then(Value::as_str);
        let by_files = matches!(driver, None | Some("json-file" | "local"));
        if !by_files && self.file.get("log-opts") == default.as_ref() {
            self.file.remove("log-opts");
        }
    }
}

/// What Coracle sets when nobody else does.
fn defaults() -> Map<String, Value> {
    let defaults = json!({
        "containerd": CONTAINERD_SOCKET,
        "group": "docker",
        "live-restore": true,
        "log-opts": {"max-file": "2", "max-size": "25m"},
        "pidfile": DOCKER_PID,
        "storage-driver": "overlay2",
    });
    match defaults {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// `rancher.docker` in dockerd's words.
fn settings(docker: &DockerConfig) -> Map<String, Value> {
    let mut map = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    let text = |value: &Option<String>| {
        value
            .as_ref()
            .filter(|text| !text.is_empty())
            .map(|text| json!(text))
    };
    let list = |values: &[String]| (!values.is_empty()).then(|| json!(values));
    set("bridge", text(&docker.bridge));
    set("bip", text(&docker.bip));
    set("debug", docker.debug.map(Value::Bool));
    set("exec-root", text(&docker.exec_root));
    set("group", text(&docker.group));
    set("data-root", text(&docker.data_root));
    set("hosts", list(&docker.host));
    set("insecure-registries", list(&docker.insecure_registry));
    set(
        "registry-mirrors",
        text(&docker.registry_mirror).map(|mirror| json!([mirror])),
    );
    set("live-restore", docker.live_restore.map(Value::Bool));
    set("log-driver", text(&docker.log_driver));
    set(
        "log-opts",
        (!docker.log_opts.is_empty()).then(|| json!(docker.log_opts)),
    );
    set("storage-driver", text(&docker.storage_driver));
    set("userland-proxy", docker.userland_proxy.map(Value::Bool));
    set(
        "userns-remap",
        docker
            .userns_enabled
            .then(|| json!("user-docker:user-docker")),
    );
    map
}

/// Names of the file's settings that the argument sets: flags that may be given several times are plural in the file.
fn keys_of(argument: &str) -> Vec<String> {
    let Some(flag) = argument.strip_prefix("--") else {
        return Vec::new();
    };
    let name = flag.split('=').next().unwrap_or(flag);
    let mut keys = vec![name.to_owned(), format!("{name}s")];
    if let Some(stem) = name.strip_suffix('y') {
        keys.push(format!("{stem}ies"));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(tree: Value) -> DockerConfig {
        serde_json::from_value(tree).unwrap()
    }

    /// The file without what Coracle always sets.
    fn beyond_defaults(config: &DaemonConfig) -> Value {
        let mut file = config.file.clone();
        for (key, value) in defaults() {
            if file.get(&key) == Some(&value) {
                file.remove(&key);
            }
        }
        Value::Object(file)
    }

    #[test]
    fn defaults_alone() {
        let config = DaemonConfig::new(&DockerConfig::default(), None);
        assert_eq!(
            config.render(false),
            r#"{
  "containerd": "/run/containerd/containerd.sock",
  "group": "docker",
  "live-restore": true,
  "log-opts": {
    "max-file": "2",
    "max-size": "25m"
  },
  "pidfile": "/run/docker.pid",
  "storage-driver": "overlay2",
  "hosts": [
    "fd://"
  ]
}
"#
        );
        assert_eq!(config.data_root(), Path::new("/var/lib/docker"));
        assert!(config.render(true).contains("\"live-restore\": false"));
    }

    #[test]
    fn every_key_of_the_configuration() {
        let config = DaemonConfig::new(
            &docker(json!({
                "bridge": "br0", "bip": "172.20.0.1/16", "debug": true, "exec_root": "/run/x", "group": "staff",
                "graph": "/mnt/docker", "host": ["unix:///var/run/docker.sock", "tcp://127.0.0.1:2375"],
                "insecure_registry": ["r:5000"], "registry_mirror": "https://m", "live_restore": false,
                "log_driver": "syslog", "storage_driver": "btrfs", "userland_proxy": "false", "userns_enabled": true,
            })),
            None,
        );
        assert_eq!(
            beyond_defaults(&config),
            json!({
                "bridge": "br0", "bip": "172.20.0.1/16", "debug": true, "exec-root": "/run/x", "group": "staff",
                "data-root": "/mnt/docker", "hosts": ["fd://", "tcp://127.0.0.1:2375"],
                "insecure-registries": ["r:5000"], "registry-mirrors": ["https://m"], "live-restore": false,
                "log-driver": "syslog", "storage-driver": "btrfs", "userland-proxy": false,
                "userns-remap": "user-docker:user-docker",
            })
        );
        assert!(
            !config.file.contains_key("log-opts"),
            "syslog knows no sizes"
        );
    }

    #[test]
    fn users_file_is_between_defaults_and_configuration() {
        let config = DaemonConfig::new(
            &docker(json!({"bip": "172.20.0.1/16"})),
            Some(
                r#"{"bip": "10.0.0.1/24", "mtu": 1400, "hosts": ["unix://", "tcp://0.0.0.0:2375"], "log-opts": {"max-size": "1m"}}"#,
            ),
        );
        assert_eq!(
            beyond_defaults(&config),
            json!({
                "bip": "172.20.0.1/16", "mtu": 1400, "hosts": ["fd://", "tcp://0.0.0.0:2375"],
                "log-opts": {"max-size": "1m"},
            })
        );
    }

    #[test]
    fn defaults_that_are_said_again_do_not_overrule_the_users_file() {
        let config = DaemonConfig::new(
            &docker(json!({"group": "docker", "log_opts": {"max-file": 2, "max-size": "25m"}})),
            Some(r#"{"group": "staff", "log-opts": {"max-size": "1m"}}"#),
        );
        assert_eq!(
            beyond_defaults(&config),
            json!({"group": "staff", "log-opts": {"max-size": "1m"}, "hosts": ["fd://"]})
        );
    }

    #[test]
    fn broken_user_files_are_named_and_left_out() {
        let table = [
            ("", vec![]),
            (
                "{\"a\": }",
                vec![
                    "/etc/docker/daemon.json is not JSON: expected value at line 1 column 7; the file is not used",
                ],
            ),
            (
                "[]",
                vec!["/etc/docker/daemon.json is not a JSON object; the file is not used"],
            ),
        ];
        for (text, expected) in table {
            let config = DaemonConfig::new(&DockerConfig::default(), Some(text));
            assert_eq!(config.problems, expected);
            assert_eq!(beyond_defaults(&config), json!({"hosts": ["fd://"]}));
        }
    }

    #[test]
    fn arguments_win_over_the_file() {
        let config = DaemonConfig::new(
            &docker(json!({
                "extra_args": ["--mtu=1300", "-H", "tcp://127.0.0.1:2375", "--insecure-registry=a:1", "--storage-driver", "vfs"],
                "insecure_registry": ["b:2"],
            })),
            Some(r#"{"mtu": 1400}"#),
        );
        assert_eq!(
            config.arguments,
            [
                "--mtu=1300",
                "--insecure-registry=a:1",
                "--storage-driver",
                "vfs"
            ]
        );
        assert_eq!(
            beyond_defaults(&config),
            json!({"hosts": ["fd://", "tcp://127.0.0.1:2375"]})
        );
        assert!(!config.file.contains_key("storage-driver"));
    }

    #[test]
    fn nodes_of_a_swarm_start_without_live_restore() {
        for (wish, problems) in [
            (json!({}), 1),
            (json!({"live_restore": true}), 1),
            (json!({"live_restore": false}), 0),
        ] {
            let mut config = DaemonConfig::new(&docker(wish), None);
            config.fit_swarm_node();
            assert_eq!(
                beyond_defaults(&config),
                json!({"live-restore": false, "hosts": ["fd://"]})
            );
            assert_eq!(config.problems.len(), problems);
        }
    }

    #[test]
    fn tls_listens_on_2376() {
        let config = DaemonConfig::new(&docker(json!({"tls": true})), None);
        assert_eq!(
            beyond_defaults(&config),
            json!({
                "tlsverify": true,
                "tlscacert": "/etc/docker/tls/ca.pem",
                "tlscert": "/etc/docker/tls/server-cert.pem",
                "tlskey": "/etc/docker/tls/server-key.pem",
                "hosts": ["fd://", "tcp://0.0.0.0:2376"],
            })
        );
        let own = docker(json!({"tls": true, "tls_args": ["--tls", "-H=0.0.0.0:2377"]}));
        let config = DaemonConfig::new(&own, None);
        assert_eq!(config.arguments, ["--tls"]);
        assert_eq!(config.file["hosts"], json!(["fd://", "tcp://0.0.0.0:2377"]));
    }
}
