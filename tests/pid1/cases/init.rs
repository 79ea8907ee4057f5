//! `docker run --init`. The engine of the tests is linked with the machine's C library, which the containers get.

use crate::host::{Host, Setup};

#[test]
fn an_init_reaps_passes_signals_on_and_gives_the_code() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --rm --init -v /lib:/lib:ro -v /lib64:/lib64:ro busybox sh -c 'ps -o comm | sed -n 2p; exit 5'
docker-init
[5]
$ docker run --rm --init -v /lib:/lib:ro -v /lib64:/lib64:ro busybox sh -c 'kill -9 $$'
[137]
$ docker run --rm --init -v /lib:/lib:ro -v /lib64:/lib64:ro busybox nosuch
docker-init: exec: "nosuch": executable file not found in $PATH
[127]
$ docker run -d --init --name ii -v /lib:/lib:ro -v /lib64:/lib64:ro busybox sh -c '(sleep 0.01 &) ; trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done'
<id>
$ until docker logs ii | grep -q ready; do :; done; docker stop ii; docker wait ii; docker diff ii
ii
7
A /sbin
$ docker run --rm --init --pid host busybox sh -c 'ps -o comm | grep -c docker-init'
0
[1]
"#,
    );
}

#[test]
fn a_terminal_belongs_to_the_program() {
    let Some(host) = Host::start() else { return };
    let command = "docker run --rm --init -it -v /lib:/lib:ro -v /lib64:/lib64:ro busybox sh -c 'head -n 1 | tr a-z A-Z'";
    let (output, code) = host.shell(&format!(
        "(sleep 1; echo typed) | script -qec \"{command}\" /dev/null"
    ));
    assert!(output.contains("TYPED"), "{output}");
    assert_eq!(code, 0);
}

#[test]
fn settings_are_defaults_of_every_container() {
    let settings = r#"{"default-ulimits": {"nofile": {"Soft": 321, "Hard": 322}}, "default-shm-size": "1M",
        "no-new-privileges": true, "log-driver": "local", "log-opts": {"max-size": "5m"}}"#;
    let setup = Setup {
        settings,
        ..Setup::default()
    };
    let Some(host) = Host::start_as(setup) else {
        return;
    };
    host.session(
        r#"
$ docker run --name dd busybox sh -c 'ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -n 1 | tr -s " " | cut -d " " -f 2; grep NoNewPrivs /proc/self/status'
321
322
1024
NoNewPrivs:	1
$ docker inspect -f '{{json .HostConfig.LogConfig}} {{.HostConfig.ShmSize}}' dd
{"Type":"local","Config":{"max-size":"5m"}} 1048576
$ docker info -f '{{.LoggingDriver}} {{.Plugins.Log}}'
local [json-file local none syslog]
$ docker run --rm --ulimit nofile=64:64 --security-opt no-new-privileges=false busybox sh -c 'ulimit -Sn; grep NoNewPrivs /proc/self/status'
64
NoNewPrivs:	0
"#,
    );
}
