//! `netconf` against a real kernel and a real DHCP server (busybox udhcpd), in namespaces that the test makes itself.
//!
//! Each test starts its own binary again under `unshare`, so that nothing here touches the machine's network, host name or
//! mounts. Skipped, with the reason printed, without root or without the programs it needs.

#![allow(clippy::unwrap_used)] // helpers of tests, outside #[test] functions

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use coracle_host_network::state::NetworkState;
use coracle_host_network::{Options, run};
use serde_json::{Value, json};

const INSIDE: &str = "CORACLE_TEST_INSIDE_NAMESPACES";

/// Runs `body` in new network, mount and UTS namespaces, or says why not.
fn in_namespaces(test: &str, body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if let Some(reason) = missing() {
        eprintln!("SKIPPED {test}: {reason}");
        return;
    }
    let executable = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--uts", "--propagation", "private"])
        .arg(executable)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed inside its namespaces");
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    for program in ["unshare", "ip", "busybox", "nsenter"] {
        let found = std::env::var("PATH")
            .unwrap_or_default()
            .split(':')
            .any(|directory| Path::new(directory).join(program).exists());
        if !found {
            return Some(format!("{program} is not installed"));
        }
    }
    None
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A network on the other end of `eth0`, with a DHCP server.
struct Network {
    directory: tempfile::TempDir,
    server: Option<Child>,
}

impl Network {
    /// `options`: lines of udhcpd.conf.
    fn new(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        sh("mount -t tmpfs tmpfs /run
            ip netns add far
            ip link add eth0 type veth peer name far0 netns far
            ip -n far address add 10.77.0.1/24 dev far0
            ip -n far link set far0 up");
        let path = directory.path();
        std::fs::write(
            path.join("udhcpd.conf"),
            format!(
                "start 10.77.0.20\nend 10.77.0.30\ninterface far0\nlease_file {0}/leases\npidfile {0}/pid\n\
                 option subnet 255.255.255.0\noption lease 600\n{options}\n",
                path.display()
            ),
        )
        .unwrap();
        std::fs::write(path.join("leases"), "").unwrap();
        for file in ["hosts", "hostname", "resolv.conf"] {
            std::fs::write(path.join(file), "").unwrap();
        }
        let mut network = Self {
            directory,
            server: None,
        };
        network.start_server();
        network
    }

    fn start_server(&mut self) {
        let child = Command::new("ip")
            .args(["netns", "exec", "far", "busybox", "udhcpd", "-f"])
            .arg(self.path("udhcpd.conf"))
            .stderr(std::process::Stdio::null())
            .spawn();
        self.server = Some(child.unwrap());
    }

    fn stop_server(&mut self) {
        if let Some(mut child) = self.server.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Starts netconf in this process, as a thread, with this configuration.
    fn start_netconf(&self, tree: Value) {
        let directory = self.directory.path().to_owned();
        let config: coracle_config::Config = serde_json::from_value(tree).unwrap();
        std::thread::spawn(move || {
            run(Options {
                load: Box::new(move || config.clone()),
                etc: directory.clone(),
                state_file: directory.join("network.json"),
                time_sources: directory.join("chrony-dhcp/network.sources"),
            })
        });
    }

    /// Waits until the published state is as wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&NetworkState) -> bool) -> NetworkState {
        let path = self.path("network.json");
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let state = NetworkState::read(&path);
            match state {
                Ok(state) if wanted(&state) => return state,
                other if Instant::now() > end => panic!("not {what} within 30 s: {other:#?}"),
                // The file is replaced by rename; looking again is all that a test needs.
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop_server();
    }
}

fn has(state: &NetworkState, interface: &str, address: &str) -> bool {
    let of_interface = state.interfaces.iter().find(|i| i.name == interface);
    of_interface.is_some_and(|i| i.addresses.iter().any(|a| a == address))
}

#[test]
fn dhcp_configures_address_route_names_and_mtu() {
    in_namespaces("dhcp_configures_address_route_names_and_mtu", || {
        let network = Network::new(
            "start 10.77.0.20\nend 10.77.0.20\noption router 10.77.0.1\noption dns 10.77.0.53 10.77.0.54\n\
             option domain test.example\noption hostname from-dhcp\noption mtu 1400\noption ntpsrv 10.77.0.123",
        );
        sh("hostname before");
        network.start_netconf(json!({}));
        let state = network.wait("ready and online", |state| state.ready && state.online);
        assert!(has(&state, "eth0", "10.77.0.20/24"), "{state:#?}");
        assert_eq!(
            state.gateways,
            ["10.77.0.1".parse::<std::net::IpAddr>().unwrap()]
        );
        assert_eq!(
            state.ntp_servers,
            ["10.77.0.123".parse::<std::net::IpAddr>().unwrap()]
        );
        assert_eq!(
            network.read("resolv.conf"),
            "# Written by the network service; set rancher.network.dns to change it.\n\
             search test.example\nnameserver 10.77.0.53\nnameserver 10.77.0.54\n"
        );
        assert_eq!(
            network.read("chrony-dhcp/network.sources"),
            "server 10.77.0.123 iburst\n"
        );
        assert_eq!(sh("hostname"), "from-dhcp\n");
        assert_eq!(network.read("hosts"), "127.0.1.1\tfrom-dhcp\n");
        let route = sh("ip -4 route show default");
        assert!(
            route.starts_with("default via 10.77.0.1 dev eth0 proto dhcp src 10.77.0.20 metric 2"),
            "{route}"
        );
        assert!(sh("ip link show eth0").contains("mtu 1400"));
        assert!(sh("ip address show lo").contains("127.0.0.1/8"));
    });
}

#[test]
fn configured_host_name_and_servers_win_over_dhcp() {
    in_namespaces("configured_host_name_and_servers_win_over_dhcp", || {
        let network = Network::new(
            "option router 10.77.0.1\noption dns 10.77.0.53\noption hostname from-dhcp",
        );
        sh("hostname mine");
        network.start_netconf(json!({
            "hostname": "mine",
            "rancher": {"network": {"dns": {"nameservers": ["9.9.9.9"], "search": ["home"]}}},
        }));
        network.wait("online", |state| state.ready && state.online);
        assert_eq!(sh("hostname"), "mine\n");
        assert_eq!(
            network.read("resolv.conf"),
            "# Written by the network service; set rancher.network.dns to change it.\n\
             search home\nnameserver 9.9.9.9\n"
        );
    });
}

#[test]
fn static_addresses_replace_others_and_commands_run_in_order() {
    in_namespaces(
        "static_addresses_replace_others_and_commands_run_in_order",
        || {
            let network = Network::new("");
            let log = network.path("log").display().to_string();
            sh("ip address add 10.1.1.1/24 dev eth0");
            network.start_netconf(json!({"rancher": {"network": {
            "pre_cmds": [format!("echo pre >> {log}")],
            "post_cmds": [format!("echo post >> {log}")],
            "interfaces": {
                "eth*": {"dhcp": true},
                "eth0": {
                    "addresses": ["10.77.0.9/24", "10.78.0.9/24", "fd77::9/64"],
                    "gateway": "10.77.0.1",
                    "gateway_ipv6": "fd77::1",
                    "mtu": "1300",
                    "pre_up": [format!("echo pre_up >> {log}"), "false"],
                    "post_up": [format!("echo post_up >> {log}"), "ip route add 10.99.0.0/16 via 10.77.0.2"],
                },
            },
        }}}));
            let state = network.wait("ready", |state| state.ready);
            assert_eq!(network.read("log"), "pre\npre_up\npost_up\npost\n");
            let v4 = sh("ip -4 -o address show dev eth0");
            assert!(
                v4.contains("10.77.0.9/24") && v4.contains("10.78.0.9/24"),
                "{v4}"
            );
            assert!(!v4.contains("10.1.1.1"), "{v4}");
            assert!(sh("ip -6 -o address show dev eth0").contains("fd77::9/64"));
            assert!(sh("ip -4 route").contains("10.99.0.0/16 via 10.77.0.2"));
            assert!(sh("ip link show eth0").contains("mtu 1300"));
            assert!(state.interfaces[0].dhcp.is_none());
            assert!(sh("ip -6 route show default").contains("via fd77::1"));
            assert!(
                network
                    .read("resolv.conf")
                    .ends_with("nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
                "fallback name servers"
            );
            // Set down and up by hand, routes come back.
            sh("ip link set eth0 down; ip link set eth0 up");
            network.wait("online again", |state| {
                state.online && state.interfaces[0].carrier
            });
            let end = Instant::now() + Duration::from_secs(10);
            while !sh("ip -4 route").contains("10.99.0.0/16") {
                assert!(Instant::now() < end, "routes did not come back");
                std::thread::sleep(Duration::from_millis(20));
            }
        },
    );
}

#[test]
fn silence_makes_ready_after_the_timeout_and_the_client_goes_on() {
    in_namespaces(
        "silence_makes_ready_after_the_timeout_and_the_client_goes_on",
        || {
            let mut network =
                Network::new("start 10.77.0.20\nend 10.77.0.20\noption router 10.77.0.1");
            network.stop_server();
            let start = Instant::now();
            network.start_netconf(json!({"rancher": {"network": {"dhcp_timeout": 1}}}));
            network.wait("ready", |state| state.ready && !state.online);
            assert!(start.elapsed() < Duration::from_secs(4));
            network.start_server();
            let state = network.wait("online", |state| state.online);
            assert!(has(&state, "eth0", "10.77.0.20/24"), "{state:#?}");
        },
    );
}

#[test]
fn a_first_interface_that_appears_late_is_waited_for() {
    in_namespaces("a_first_interface_that_appears_late_is_waited_for", || {
        let network = Network::new("option router 10.77.0.1");
        // Only `eth*` is configured.
        sh("ip link set eth0 name late");
        network.start_netconf(json!({}));
        network.wait("published, not ready", |state| !state.ready);
        sh("ip link set late name eth0");
        let state = network.wait("ready", |state| state.ready);
        assert!(state.online, "{state:#?}");
    });
}

#[test]
fn a_machine_without_an_interface_is_ready_all_the_same() {
    in_namespaces(
        "a_machine_without_an_interface_is_ready_all_the_same",
        || {
            let network = Network::new("");
            sh("ip link del eth0");
            network.start_netconf(json!({}));
            let state = network.wait("ready", |state| state.ready);
            assert!(!state.online, "{state:#?}");
        },
    );
}

#[test]
fn interfaces_that_appear_later_are_configured() {
    in_namespaces("interfaces_that_appear_later_are_configured", || {
        let network = Network::new("option router 10.77.0.1");
        network.start_netconf(json!({}));
        network.wait("online", |state| state.online);
        sh("ip link add eth1 type veth peer name far1 netns far
            ip -n far link add bridge0 type bridge
            ip -n far link set far1 master bridge0
            ip -n far link set far0 master bridge0
            ip -n far address del 10.77.0.1/24 dev far0
            ip -n far address add 10.77.0.1/24 dev bridge0
            ip -n far link set bridge0 up
            ip -n far link set far1 up
            ip link add vethabc type veth peer name other");
        let state = network.wait("two interfaces", |state| state.interfaces.len() == 2);
        let names: Vec<&str> = state.interfaces.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["eth0", "eth1"]);
        sh("ip link del eth1");
        network.wait("one interface", |state| state.interfaces.len() == 1);
    });
}

#[test]
fn a_cable_pulled_and_put_back_keeps_the_address() {
    in_namespaces("a_cable_pulled_and_put_back_keeps_the_address", || {
        let network = Network::new("option router 10.77.0.1");
        network.start_netconf(json!({}));
        let state = network.wait("online", |state| state.online);
        let address = state.interfaces[0].addresses[0].clone();
        sh("ip -n far link set far0 down");
        network.wait("no carrier", |state| !state.interfaces[0].carrier);
        sh("ip -n far link set far0 up");
        let state = network.wait("carrier", |state| {
            state.interfaces[0].carrier && state.online
        });
        assert_eq!(state.interfaces[0].addresses[0], address);
    });
}
