//! The engine replaces itself by another version while containers run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::host::Host;

/// How often the engine is replaced in the long run; `CORACLE_RELOADS` asks for more.
const RELOADS: usize = 10;

/// Writes a script that stands in for a new binary: it answers when it is tried, and when it is executed it does `before` and goes
/// on as the real one. `$n` is the number of the descriptor with the data.
fn stand_in(host: &Host, name: &str, before: &str) -> PathBuf {
    let path = host.path(name);
    let real = env!("CARGO_BIN_EXE_coracle");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = handover ] && exec {real} handover\nn=0; for a; do n=$a; done\n{before}\nexec {real} \"$@\"\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Shell commands that wait until a process has ended. Without starting one, after whose end the shell would collect the other, too.
fn until_ended(pid: &str) -> String {
    format!(
        "over=; until [ \"$over\" ]; do while read name value rest; do [ \"$name $value\" = 'State: Z' ] && over=1; done </proc/{pid}/status; done"
    )
}

/// Stops the container `count`: its log has each number once, in order.
fn expect_every_number(host: &Host) {
    host.shell("docker stop -t 0 count");
    let numbers = numbers(host, "count");
    assert!(
        numbers.iter().copied().eq(0..numbers.len() as u64),
        "{numbers:?}"
    );
}

/// The numbers that a container has logged, each on its line.
fn numbers(host: &Host, container: &str) -> Vec<u64> {
    let (text, code) = host.shell(&format!("docker logs {container}"));
    assert_eq!(code, 0, "{text}");
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn wait_for(host: &Host, condition: &str) {
    let (output, code) = host.shell(&format!(
        "timeout -s KILL 50 sh -c 'until {condition}; do sleep 0.05; done'"
    ));
    assert_eq!(code, 0, "{condition}: {output}\n{}", host.log());
}

const COUNT: &str = "i=0; while :; do echo $i; i=$((i+1)); usleep 1000; done";

#[test]
fn containers_and_their_streams_go_on() {
    let Some(host) = Host::start() else { return };
    host.session(&format!(
        r#"
$ docker run -d --name count busybox sh -c '{COUNT}' >/dev/null
$ docker run -dit --name term busybox sh -c 'trap "stty size" WINCH; echo ready; while :; do sleep 0.1; done' >/dev/null
$ docker run -d --name half busybox sh -c 'printf begun-; while [ ! -e /tmp/go ]; do usleep 10000; done; echo ended; echo err >&2; exit 5' >/dev/null
$ docker run -d --rm --name gone busybox sh -c 'while [ ! -e /tmp/go ]; do usleep 10000; done' >/dev/null
$ docker run -di --name reads -v kept:/kept busybox sh -c 'read line; echo got $line; exec sleep 1000' >/dev/null
$ docker create --name idle busybox true >/dev/null
$ docker run -d --name frozen busybox sleep 1000 >/dev/null; docker pause frozen
frozen
$ docker exec -d count sh -c 'while [ ! -e /tmp/go ]; do usleep 10000; done; exit 7'
$ until docker logs term | grep -q ready; do :; done
"#
    ));
    let pids = "docker inspect -f '{{.Name}} {{.State.Pid}} {{.State.StartedAt}} {{.State.Status}}' count term half gone reads idle frozen";
    let (before, _) = host.shell(pids);
    let (exec, _) = host.shell("docker inspect -f '{{index .ExecIDs 0}}' count");
    let stat =
        || fs::read_to_string(format!("/proc/{}/stat", host.pid().as_raw_nonzero())).unwrap();
    let started = |stat: &str| stat.rsplit(' ').nth(30).unwrap().to_owned();
    let engine = (host.pid(), started(&stat()));
    host.reload(None);
    host.reload(None);
    assert_eq!((host.pid(), started(&stat())), engine);
    assert_eq!(host.get("/coracle/engine")["Generation"], 2);
    assert_eq!(host.shell(pids).0, before, "{}", host.log());
    let exec = format!("/exec/{}/json", exec.trim());
    assert_eq!(host.get(&exec)["Running"], true);
    // The terminal is still at hand, and so is the input.
    host.ask("POST", "/containers/term/resize?h=33&w=77");
    wait_for(&host, "docker logs term | grep -q \"33 77\"");
    host.shell("echo typed | timeout -s KILL 5 docker attach --sig-proxy=false reads");
    wait_for(&host, "docker logs reads | grep -q \"got typed\"");
    host.session(
        r#"
$ docker exec count touch /tmp/go; docker exec half touch /tmp/go; docker exec gone touch /tmp/go; docker wait half
5
$ docker logs half 2>&1 | sort
begun-ended
err
$ docker unpause frozen; docker inspect -f '{{.State.Status}}' frozen
frozen
running
$ docker start -a idle; docker ps -a --filter name=idle --format '{{.Status}}'
Exited (0) <ago> ago
"#,
    );
    wait_for(&host, "[ -z \"$(docker ps -aq --filter name=gone)\" ]");
    wait_for(&host, "docker inspect -f x count");
    let mut ended = host.get(&exec);
    while ended["Running"] == true {
        ended = host.get(&exec);
    }
    assert_eq!(ended["ExitCode"], 7);
    expect_every_number(&host);
}

#[test]
fn ends_restarts_and_probes_go_on() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name ends -v /:/host busybox sh -c 'while [ ! -e /tmp/go ]; do usleep 10000; done; exit 42' >/dev/null
$ docker run -d --restart always --name again busybox sh -c 'while [ ! -e /tmp/go ]; do usleep 10000; done; rm /tmp/go' >/dev/null
$ docker run -d --restart unless-stopped --name stopped busybox sleep 1000 >/dev/null; docker stop -t 0 stopped
stopped
$ docker run -d --restart on-failure --name fails busybox false >/dev/null
$ docker run -d --health-cmd 'test ! -e /tmp/ill' --health-interval 200ms --health-retries 1 --name well busybox sleep 1000 >/dev/null
"#,
    );
    wait_for(
        &host,
        "docker inspect -f {{.State.Health.Status}} well | grep -qx healthy",
    );
    wait_for(
        &host,
        "[ $(docker inspect -f {{.RestartCount}} fails) -ge 3 ]",
    );
    // One ends in the middle: when the old engine is no longer there and the new one not yet.
    let (pid, _) = host.shell("docker inspect -f '{{.State.Pid}}' ends");
    let pid = pid.trim();
    let before = format!(": >/proc/{pid}/root/tmp/go; {}", until_ended(pid));
    host.reload(Some(&stand_in(&host, "slow", &before)));
    host.session(
        r#"
$ docker wait ends; docker inspect -f '{{.State.ExitCode}} {{.State.Status}}' ends stopped; docker inspect -f '{{.State.Health.Status}}' well
42
42 exited
137 exited
healthy
$ docker exec well touch /tmp/ill; docker exec again touch /tmp/go
"#,
    );
    wait_for(
        &host,
        "docker inspect -f {{.State.Health.Status}} well | grep -qx unhealthy",
    );
    wait_for(
        &host,
        "[ $(docker inspect -f {{.RestartCount}} again) = 1 ]",
    );
    wait_for(
        &host,
        "[ $(docker inspect -f {{.RestartCount}} fails) -ge 5 ]",
    );
    let (events, _) = host.shell("docker events --since 10m --until 0s --format '{{.Type}} {{.Action}}' | grep -cx 'daemon reload\\|container create'");
    assert_eq!(events, "6\n");
}

#[test]
fn networks_go_on() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker network create net >/dev/null; docker run -d --name web --network net -p 8080:80 busybox sh -c 'echo served >/tmp/index.html; exec httpd -f -h /tmp' >/dev/null
$ docker run -d --name client --network net busybox sleep 1000 >/dev/null
$ until wget -qO- http://127.0.0.1:8080/; do sleep 0.1; done
served
"#,
    );
    host.reload(None);
    host.session(
        r#"
$ wget -qO- http://127.0.0.1:8080/; docker exec client wget -qO- http://web/
served
served
$ docker run --rm --network net busybox wget -qO- http://web/
served
$ docker run --rm -p 8080:80 busybox true 2>&1 | grep -o 'port is already allocated'
port is already allocated
$ docker rm -f web client; docker network rm net; ip -o link | grep -c csys-
web
client
net
0
[1]
"#,
    );
}

#[test]
fn clients_that_wait_get_an_end() {
    let Some(host) = Host::start() else { return };
    host.shell("docker run -d --name one busybox sh -c 'echo line; exec sleep 1000'");
    for (command, expected) in [
        ("docker logs -f one", "line\n0\n"),
        ("docker events --filter type=image", "0\n"),
        // Their last question is for the exit code.
        ("docker attach one", "EOF\n1\n"),
        ("docker wait one 2>&1 | grep -o EOF", "EOF\n0\n"),
    ] {
        let ended = std::thread::scope(|scope| {
            let client = scope.spawn(|| host.shell(&format!("{command}; echo $?")));
            // Nothing tells when the engine has the client's request: one that came too late meets the next reload.
            while !client.is_finished() {
                std::thread::sleep(std::time::Duration::from_millis(1500));
                host.reload(None);
            }
            client.join().unwrap()
        });
        assert_eq!(ended.0, expected, "{command}");
    }
}

#[test]
fn what_cannot_take_over_is_refused() {
    let Some(host) = Host::start() else { return };
    host.shell("docker run -d --name one busybox sleep 1000");
    let plain = host.path("plain");
    fs::write(&plain, "text").unwrap();
    let silent = host.path("silent");
    fs::write(&silent, "#!/bin/sh\nexit 0\n").unwrap();
    let foreign = host.path("foreign");
    // The head of a binary for another machine.
    fs::write(
        &foreign,
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf7\0\x01\0\0\0",
    )
    .unwrap();
    for path in [&silent, &foreign] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (path, why) in [
        (
            host.path("none"),
            "No such file or directory (os error 2); the path is this process's, which does not see the files of a container",
        ),
        (plain, "Permission denied (os error 13)"),
        (foreign, "Exec format error (os error 8)"),
        (
            silent,
            "it is no coracle, or one that does not understand this one's data",
        ),
    ] {
        let answer = host.ask(
            "POST",
            &format!("/coracle/reload?binary={}", path.display()),
        );
        assert_eq!(
            answer["message"],
            format!(
                "cannot reload the engine: {} cannot take over: {why}",
                path.display()
            )
        );
    }
    let answer = host.ask("POST", "/coracle/reload?binary=coracle");
    assert_eq!(
        answer["message"],
        "cannot reload the engine: coracle must be an absolute path"
    );
    assert_eq!(host.get("/coracle/engine")["Generation"], 0);
    host.session("$ docker ps --format '{{.Names}}'\none\n");
}

#[test]
fn damaged_data_costs_no_container() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(&format!(
        r#"
$ docker run -d --name count -p 8080:80 busybox sh -c '{COUNT}' >/dev/null
$ docker run -dit --name term busybox sh -c 'echo ready; read line; echo got $line; exec sleep 1000' >/dev/null
$ docker run -d --restart always --name ends busybox sleep 1000 >/dev/null
$ until docker logs term | grep -q ready; do :; done
"#
    ));
    let pids = "docker inspect -f '{{.Name}} {{.State.Pid}}' count term";
    let (before, _) = host.shell(pids);
    let (ends, _) = host.shell("docker inspect -f '{{.State.Pid}}' ends");
    let ends = ends.trim();
    let damage = format!(
        "echo '{{\"version\":99}}' >/proc/self/fd/$n; kill -9 {ends}; {}",
        until_ended(ends)
    );
    host.reload(Some(&stand_in(&host, "damages", &damage)));
    assert_eq!(host.shell(pids).0, before, "{}", host.log());
    assert!(
        host.log().contains("version 99 is unknown"),
        "{}",
        host.log()
    );
    host.shell("(echo typed; sleep 5) | timeout -s KILL 6 script -qec 'docker attach --sig-proxy=false term' /dev/null");
    wait_for(&host, "docker logs term | grep -q \"got typed\"");
    wait_for(
        &host,
        "docker inspect -f {{.State.Status}} ends | grep -qx running",
    );
    host.session(
        "$ docker exec count wget -qO- http://172.18.42.1:1 2>&1 | grep -o 'refused'\nrefused\n",
    );
    expect_every_number(&host);
}

#[test]
fn nothing_is_lost_over_many_reloads() {
    let Some(host) = Host::start() else { return };
    let reloads = std::env::var("CORACLE_RELOADS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(RELOADS);
    host.shell(&format!(
        "docker run -d --name count busybox sh -c '{COUNT}'; docker run -d --name both busybox sh -c 'i=0; while :; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); usleep 1000; done'; docker run -d --name shell busybox sleep 10000"
    ));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut rounds = 0;
            while !over.load(Ordering::Relaxed) {
                let (output, code) = host.shell("docker exec -d shell true && docker run -d --name brief busybox sleep 1000 >/dev/null 2>&1 && docker stop -t 0 brief && docker start brief && docker rm -f brief");
                assert_eq!((output.as_str(), code), ("brief\nbrief\nbrief\n", 0), "{}", host.log());
                rounds += 1;
            }
            rounds
        });
        for _ in 0..reloads {
            host.reload(None);
        }
        over.store(true, Ordering::Relaxed);
        eprintln!(
            "{reloads} reloads, {} rounds of traffic",
            traffic.join().unwrap()
        );
    });
    assert_eq!(host.get("/coracle/engine")["Generation"], reloads);
    host.shell("docker stop -t 0 count both");
    for container in ["count", "both"] {
        let mut numbers = numbers(&host, container);
        // Two streams have no order between them.
        numbers.sort_unstable();
        eprintln!("{container}: {} lines", numbers.len());
        assert!(
            numbers.iter().copied().eq(0..numbers.len() as u64),
            "{container}: lines are lost or doubled"
        );
    }
}
