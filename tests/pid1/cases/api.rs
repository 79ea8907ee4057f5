//! What the docker command line does not show: the API as other clients use it, and clients that misbehave.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::host::Host;

/// How long a client's going may take to be noticed.
const NOTICE: Duration = Duration::from_secs(20);

/// Sends a request and gives the connection.
fn send(host: &Host, line: &str, headers: &str, body: &str) -> UnixStream {
    let mut stream = UnixStream::connect(host.path("docker.sock")).unwrap();
    let length = if body.is_empty() {
        String::new()
    } else {
        format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        )
    };
    let request = format!("{line} HTTP/1.1\r\nHost: docker\r\n{headers}{length}\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Sends a request and gives status and body of the answer.
fn call(host: &Host, line: &str, body: &str) -> (String, String) {
    let mut answer = String::new();
    send(host, line, "Connection: close\r\n", body)
        .read_to_string(&mut answer)
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.lines().next().unwrap().to_owned(),
        body.trim_end().to_owned(),
    )
}

/// Reads the head of an answer and nothing behind it; without the date.
fn head(stream: &mut UnixStream) -> Vec<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("date:"));
    lines.map(str::to_owned).collect()
}

fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

const CREATED: &str = "HTTP/1.1 201 Created";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content";

#[test]
fn attach_and_wait_answer_before_the_start() {
    let Some(host) = Host::start() else { return };
    let upgraded = [
        "HTTP/1.1 101 UPGRADED",
        "content-type: application/vnd.docker.multiplexed-stream",
        "connection: Upgrade",
        "upgrade: tcp",
    ];
    let raw = [
        "HTTP/1.1 200 OK",
        "Content-Type: application/vnd.docker.raw-stream",
    ];
    for (version, headers, expected) in [
        (
            "v1.53",
            "Connection: Upgrade\r\nUpgrade: tcp\r\n",
            &upgraded[..],
        ),
        ("v1.41", "", &raw),
    ] {
        let body = r#"{"Image":"busybox","Cmd":["sh","-c","cat; echo bad >&2; exit 7"],"OpenStdin":true,"StdinOnce":true}"#;
        assert_eq!(
            call(&host, "POST /containers/create?name=web", body).0,
            CREATED
        );
        let line =
            format!("POST /{version}/containers/web/attach?stream=1&stdin=1&stdout=1&stderr=1");
        let mut attached = send(&host, &line, headers, "");
        assert_eq!(head(&mut attached), expected);
        let mut waiting = send(
            &host,
            "POST /containers/web/wait?condition=next-exit",
            "Connection: close\r\n",
            "",
        );
        assert_eq!(head(&mut waiting)[0], "HTTP/1.1 200 OK");
        assert_eq!(call(&host, "POST /containers/web/start", "").0, NO_CONTENT);
        attached.write_all(b"typed").unwrap();
        attached.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            rest(attached),
            b"\x01\0\0\0\0\0\0\x05typed\x02\0\0\0\0\0\0\x04bad\n",
            "{version}"
        );
        assert_eq!(rest(waiting), b"11\r\n{\"StatusCode\":7}\n\r\n0\r\n\r\n");
        assert_eq!(call(&host, "DELETE /containers/web", "").0, NO_CONTENT);
    }
}

#[test]
fn what_a_client_has_begun_goes_on_without_it() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name deaf busybox sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
<id>
$ until docker logs deaf | grep -q ready; do :; done
"#,
    );
    let stopping = send(&host, "POST /containers/deaf/stop?t=2", "", "");
    host.session(
        r#"
$ until docker events --since 1 --until "$(date +%s)" --filter event=kill --format '{{.Actor.Attributes.name}}' | grep -q deaf; do :; done
"#,
    );
    // It has the signal, and would be killed after the two seconds: that must happen without the client, too.
    drop(stopping);
    host.session(
        r#"
$ timeout 30 docker wait deaf
137
$ docker rm deaf
deaf
"#,
    );
}

#[test]
fn exec_needs_no_upgrade_and_runs_once() {
    let Some(host) = Host::start() else { return };
    host.session("$ docker run -d --name web busybox sleep 1000 >/dev/null\n");
    for (command, output) in [
        (r#"["echo","hi"]"#, &b"\x01\0\0\0\0\0\0\x03hi\n"[..]),
        (r#"["sh","-c","echo hi >&2"]"#, b"\x02\0\0\0\0\0\0\x03hi\n"),
    ] {
        let body = format!(r#"{{"Cmd":{command},"AttachStdout":true,"AttachStderr":true}}"#);
        let (status, id) = call(&host, "POST /containers/web/exec", &body);
        assert_eq!(status, CREATED);
        let id = id
            .strip_prefix(r#"{"Id":""#)
            .unwrap()
            .strip_suffix(r#""}"#)
            .unwrap();
        let mut running = send(
            &host,
            &format!("POST /exec/{id}/start"),
            "",
            r#"{"Detach":false}"#,
        );
        assert_eq!(head(&mut running)[0], "HTTP/1.1 200 OK");
        assert_eq!(rest(running), output);
        let (status, message) = call(
            &host,
            &format!("POST /exec/{id}/start"),
            r#"{"Detach":true}"#,
        );
        let again = format!(r#"{{"message":"Error: Exec command {id} has already run"}}"#);
        assert_eq!((status.as_str(), message), ("HTTP/1.1 409 Conflict", again));
    }
    host.session("$ docker rm -f web\nweb\n");
}

#[test]
fn clients_that_leave_cost_nothing() {
    let Some(host) = Host::start() else { return };
    host.session("$ docker run -d -i --name web busybox sleep 1000 >/dev/null\n");
    let resources = || {
        host.shell("docker info -f '{{.NFd}} {{.NEventsListener}}'")
            .0
    };
    let before = resources();
    for half_closed in [false, true] {
        let mut clients = Vec::new();
        for _ in 0..20 {
            for line in [
                "GET /events",
                "GET /containers/web/logs?stdout=1&follow=1",
                "GET /containers/web/stats",
                "POST /containers/web/wait",
                "POST /containers/web/attach?stream=1&stdin=1&stdout=1",
            ] {
                // An ordinary request is given up when its client closes half of the connection; taken over ones go on.
                if half_closed && !line.contains("attach") {
                    continue;
                }
                let mut client = send(&host, line, "", "");
                assert_eq!(head(&mut client)[0], "HTTP/1.1 200 OK", "{line}");
                if half_closed {
                    client.shutdown(Shutdown::Write).unwrap();
                }
                clients.push(client);
            }
        }
        assert_ne!(resources(), before);
        drop(clients);
        let deadline = Instant::now() + NOTICE;
        while resources() != before {
            assert!(
                Instant::now() < deadline,
                "before: {before}, now: {}",
                resources()
            );
        }
    }
    host.session("$ docker rm -f web\nweb\n");
}

#[test]
fn input_that_nobody_reads_is_no_error() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ yes | head -c 3000000 | docker run --rm -i busybox true
$ yes | head -c 3000000 | docker run --rm -i busybox wc -c
3000000
$ docker run -d --name web busybox sleep 1000 >/dev/null
$ yes | head -c 3000000 | docker exec -i web true
$ yes | head -c 3000000 | docker exec -i web wc -c
3000000
$ docker rm -f web
web
"#,
    );
}

#[test]
fn what_system_docker_does_not_do_is_refused_with_the_way_out() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker network rm host
Error response from daemon: host is a pre-defined network and cannot be removed
exit status 1
[1]
$ docker swarm init
Error response from daemon: System Docker does not support swarm mode; use User Docker (the docker command)
[1]
$ docker node ls
Error response from daemon: This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.
[1]
$ docker plugin ls -q
$ docker create --name web busybox true >/dev/null; docker build -q . 2>&1 | grep -o 'System Docker does not support building images' | head -n 1
$ docker system prune -f | head -n 1
Deleted Containers:
$ docker system df --format '{{.Type}} {{.TotalCount}}'
Images 1
Containers 0
Local Volumes 0
Build Cache 0
$ docker -H unix:///nowhere ps 2>&1 | head -n 1
Cannot connect to the Docker daemon at unix:///nowhere. Is the docker daemon running?
"#,
    );
}

#[test]
fn images_travel_through_pipes() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker save busybox >saved.tar; docker tag busybox other:1; docker rmi busybox >/dev/null; docker load <saved.tar
Loaded image: busybox:latest
$ docker save busybox other:1 | docker load | sort
Loaded image: busybox:latest
Loaded image: other:1
$ docker save nope >/dev/null
Error response from daemon: No such image: nope
[1]
$ head -c 100000 /dev/zero | docker load
invalid archive: neither manifest.json nor oci-layout: this is no image archive
[1]
$ docker create --name web busybox true >/dev/null; docker export web | tar -t | grep -c '^bin/busybox$'
1
"#,
    );
}
