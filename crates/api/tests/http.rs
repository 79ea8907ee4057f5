//! The API on a real socket, with a real engine that has neither images nor containers.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use coracle_engine::{Engine, Options, Reaper};
use rustix::process::Uid;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A served engine in a directory of its own.
struct Host {
    dir: TempDir,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Vec<coracle_engine::handover::Idle>>,
}

impl Host {
    /// `None`, with a reason on standard error, where an engine cannot run.
    fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: an engine needs root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("root"), dir.path().join("run"));
        options.cgroup_parent = format!("/coracle-api-test-{}", std::process::id());
        let engine = match Engine::new(options, Reaper::start().unwrap()) {
            Ok(engine) => engine,
            Err(error) => {
                eprintln!("SKIPPED: no engine here: {error}");
                return None;
            }
        };
        let listener = UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let server = tokio::spawn(coracle_api::serve(listener, engine, Vec::new(), stopped));
        Some(Self { dir, stop, server })
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// Sends bytes and reads everything until the server closes the connection.
    async fn talk(&self, bytes: impl Into<Vec<u8>>) -> String {
        let (socket, bytes) = (self.socket(), bytes.into());
        tokio::task::spawn_blocking(move || talk(&socket, &bytes))
            .await
            .unwrap()
    }
}

fn talk(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// A request that asks for the end of the connection after it.
fn request(line: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    format!("{line} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n{headers}{length}\r\n{body}")
}

/// Status and body of an answer.
fn outline(answer: &str) -> (&str, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head
        .lines()
        .next()
        .unwrap()
        .strip_prefix("HTTP/1.1 ")
        .unwrap();
    (status, body.trim_end())
}

// One test, because a process has one reaper and so one engine.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_speaks_http_as_docker_does() {
    let Some(host) = Host::start() else { return };
    ping_tells_what_clients_negotiate_with(&host).await;
    answers_are_dockers(&host).await;
    bodies_are_json_of_sensible_size(&host).await;
    a_refused_request_may_send_its_body(&host).await;
    connections_are_kept_and_pipelines_answered_in_order(&host).await;
    attaching_needs_a_connection_of_its_own(&host).await;
    only_root_is_served(&host).await;
    shutdown_ends_idle_connections(host).await;
}

async fn ping_tells_what_clients_negotiate_with(host: &Host) {
    for (method, body) in [("GET", "OK"), ("HEAD", "")] {
        let answer = host
            .talk(request(&format!("{method} /_ping"), "", ""))
            .await;
        let (head, found) = answer.split_once("\r\n\r\n").unwrap();
        let head: Vec<&str> = head
            .lines()
            .filter(|line| !line.starts_with("date: "))
            .collect();
        let expected = [
            "HTTP/1.1 200 OK",
            "content-type: text/plain; charset=utf-8",
            "cache-control: no-cache, no-store, must-revalidate",
            "pragma: no-cache",
            "builder-version: 1",
            "swarm: inactive",
            concat!("server: Coracle/", env!("CARGO_PKG_VERSION"), " (linux)"),
            "api-version: 1.53",
            "docker-experimental: false",
            "ostype: linux",
            "connection: close",
            "content-length: 2",
        ];
        assert_eq!((head, found), (expected.to_vec(), body), "{method}");
    }
}

async fn answers_are_dockers(host: &Host) {
    let swarm = r#"{"message":"This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."}"#;
    let table = [
        (
            "GET /nowhere",
            "404 Not Found",
            r#"{"message":"page not found"}"#,
        ),
        (
            "POST /info",
            "404 Not Found",
            r#"{"message":"page not found"}"#,
        ),
        (
            "GET /v1.60/info",
            "400 Bad Request",
            r#"{"message":"client version 1.60 is too new. Maximum supported API version is 1.53"}"#,
        ),
        ("GET /v1.24/containers/json?all=1", "200 OK", "[]"),
        (
            "GET /containers/json?filters=x",
            "400 Bad Request",
            r#"{"message":"invalid filter"}"#,
        ),
        (
            "GET /containers/json?filters=%7B%22nme%22%3A%5B%22x%22%5D%7D",
            "400 Bad Request",
            r#"{"message":"invalid filter 'nme'"}"#,
        ),
        (
            "GET /containers/x/json",
            "404 Not Found",
            r#"{"message":"No such container: x"}"#,
        ),
        (
            "POST /containers/x/start",
            "404 Not Found",
            r#"{"message":"No such container: x"}"#,
        ),
        (
            "POST /containers/x/wait?condition=y",
            "400 Bad Request",
            r#"{"message":"invalid condition: \"y\""}"#,
        ),
        (
            "GET /containers/x/logs",
            "400 Bad Request",
            r#"{"message":"Bad parameters: you must choose at least one stream"}"#,
        ),
        ("GET /images/json", "200 OK", "[]"),
        (
            "GET /images/x/json",
            "404 Not Found",
            r#"{"message":"No such image: x:latest"}"#,
        ),
        (
            "GET /exec/x/json",
            "404 Not Found",
            r#"{"message":"No such exec instance: x"}"#,
        ),
        (
            "GET /volumes",
            "200 OK",
            r#"{"Volumes":[],"Warnings":null}"#,
        ),
        (
            "GET /volumes/x",
            "404 Not Found",
            r#"{"message":"get x: no such volume"}"#,
        ),
        (
            "GET /networks/x",
            "404 Not Found",
            r#"{"message":"network x not found"}"#,
        ),
        (
            "DELETE /networks/host",
            "403 Forbidden",
            r#"{"message":"host is a pre-defined network and cannot be removed"}"#,
        ),
        ("GET /plugins", "200 OK", "[]"),
        ("GET /nodes", "503 Service Unavailable", swarm),
        (
            "POST /build",
            "501 Not Implemented",
            r#"{"message":"System Docker does not support building images; use User Docker (the docker command)"}"#,
        ),
        (
            "POST /containers/prune",
            "200 OK",
            r#"{"ContainersDeleted":null,"SpaceReclaimed":0}"#,
        ),
    ];
    for (line, status, body) in table {
        let answer = host.talk(request(line, "", "")).await;
        assert_eq!(outline(&answer), (status, body), "{line}");
    }
}

async fn bodies_are_json_of_sensible_size(host: &Host) {
    let json = "Content-Type: application/json\r\n";
    let table = [
        (
            "",
            "{}",
            "400 Bad Request",
            r#"{"message":"unsupported Content-Type header (): must be 'application/json'"}"#,
        ),
        (
            json,
            "{",
            "400 Bad Request",
            r#"{"message":"invalid JSON: got EOF while reading request body"}"#,
        ),
        (
            json,
            r#"{"Image":"x","Cmd":"y"}"#,
            "404 Not Found",
            r#"{"message":"No such image: x:latest"}"#,
        ),
    ];
    for (headers, body, status, expected) in table {
        let answer = host
            .talk(request("POST /containers/create", headers, body))
            .await;
        assert_eq!(outline(&answer), (status, expected), "{body}");
    }
    let large = request("POST /containers/create", json, &" ".repeat(9 << 20));
    let expected = r#"{"message":"request body is larger than 4194304 bytes"}"#;
    assert_eq!(
        outline(&host.talk(large).await),
        ("413 Payload Too Large", expected)
    );
    assert!(
        host.talk("nonsense\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400 Bad Request\r\n")
    );
}

/// One that is larger than what fits into the socket, so that a server that does not read it would break the connection.
async fn a_refused_request_may_send_its_body(host: &Host) {
    let body = " ".repeat(2 << 20);
    for (line, status) in [
        ("POST /swarm/init", "501 Not Implemented"),
        ("POST /build", "501 Not Implemented"),
        ("POST /nowhere", "404 Not Found"),
        ("POST /v1.1/containers/create", "400 Bad Request"),
    ] {
        let answer = host.talk(request(line, "", &body)).await;
        assert_eq!(outline(&answer).0, status, "{line}");
    }
}

async fn connections_are_kept_and_pipelines_answered_in_order(host: &Host) {
    let both = "GET /containers/a/json HTTP/1.1\r\nHost: d\r\n\r\n".to_owned()
        + &request("GET /containers/b/json", "", "");
    let answer = host.talk(both).await;
    let (first, second) = answer
        .split_once("HTTP/1.1 404 Not Found")
        .unwrap()
        .1
        .split_once("HTTP/1.1 404")
        .unwrap();
    assert!(
        first.contains("No such container: a") && second.contains("No such container: b"),
        "{answer}"
    );
}

async fn attaching_needs_a_connection_of_its_own(host: &Host) {
    let volume = r#"{"Name":"data"}"#;
    let made = host
        .talk(request(
            "POST /volumes/create",
            "Content-Type: application/json\r\n",
            volume,
        ))
        .await;
    assert_eq!(outline(&made).0, "201 Created");
    // Read before hyper does; an error is an ordinary answer all the same.
    let answer = host
        .talk("POST /containers/x/attach?stream=1 HTTP/1.1\r\nHost: d\r\n\r\n")
        .await;
    assert_eq!(
        outline(&answer),
        ("404 Not Found", r#"{"message":"No such container: x"}"#)
    );
    assert!(
        answer.contains("\r\napi-version: 1.53\r\n")
            && answer.contains("\r\nconnection: close\r\n")
    );
}

async fn only_root_is_served(host: &Host) {
    use std::os::unix::fs::PermissionsExt;
    let socket = host.socket();
    for (path, mode) in [(host.dir.path(), 0o755), (socket.as_path(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    // Credentials belong to threads; this one keeps its new ones and ends with them.
    let stranger = std::thread::spawn(move || {
        let user = Uid::from_raw(1000);
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        talk(&socket, request("GET /info", "", "").as_bytes())
    });
    let answer = tokio::task::spawn_blocking(|| stranger.join().unwrap())
        .await
        .unwrap();
    let expected = r#"{"message":"permission denied: only root may use System Docker"}"#;
    assert_eq!(outline(&answer), ("403 Forbidden", expected));
}

async fn shutdown_ends_idle_connections(host: Host) {
    let socket = host.socket();
    let idle = tokio::task::spawn_blocking(move || {
        let silent = UnixStream::connect(&socket).unwrap();
        let mut kept = UnixStream::connect(&socket).unwrap();
        kept.write_all(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
            .unwrap();
        // The head of the answer comes at once, before there is any event.
        let mut head = [0; 15];
        kept.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        (silent, kept)
    });
    let (mut silent, _kept) = idle.await.unwrap();
    host.stop.send(()).unwrap();
    host.server.await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::task::spawn_blocking(move || silent.read_to_end(&mut rest).unwrap());
    assert_eq!(ended.await.unwrap(), 0);
}
