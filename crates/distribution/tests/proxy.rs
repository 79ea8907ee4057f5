//! Proxies: what they are asked, and that what they carry arrives.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use coracle_distribution::{Credentials, Endpoint, Proxies, Registry, Settings};
use coracle_image::Reference;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Reads the head of a request: its lines without `User-Agent`.
async fn head(stream: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => return lines,
            line if line.starts_with("user-agent: ") => {}
            line => lines.push(line.to_owned()),
        }
    }
}

/// Asks for `registry.example` through a proxy that answers each connection's first request with `answer`: what the
/// proxy was asked first, and the outcome.
async fn through(tls: bool, answer: &'static str) -> (Vec<String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://ann:secret@{}", listener.local_addr().unwrap());
    let proxy = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let asked = head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Open until the client is done.
        (asked, stream)
    });
    let settings = Settings {
        proxies: Proxies {
            http: url.clone(),
            https: url,
            none: String::new(),
        },
        ..Settings::default()
    };
    let endpoint = Endpoint {
        tls,
        authority: "registry.example".into(),
        verify: false,
        mirror: false,
    };
    let name = Reference::parse("x").unwrap().name;
    let nobody = Credentials::default();
    let opened = Registry::connect(&settings, &endpoint, &name, &nobody, false).await;
    let outcome = opened.map_or_else(|error| error.to_string(), |_| "connected".to_owned());
    (proxy.await.unwrap().0, outcome)
}

#[tokio::test]
async fn plain_requests_name_their_target() {
    let (asked, outcome) = through(false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(
        asked,
        [
            "GET http://registry.example/v2/ HTTP/1.1",
            "host: registry.example",
            "proxy-authorization: Basic YW5uOnNlY3JldA==",
        ]
    );
    assert_eq!(outcome, "connected");
}

#[tokio::test]
async fn secure_connections_are_carried() {
    let connect = [
        "CONNECT registry.example:443 HTTP/1.1",
        "host: registry.example:443",
        "proxy-authorization: Basic YW5uOnNlY3JldA==",
    ];
    let url = "Get \"https://registry.example/v2/\"";
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "Forbidden"),
        // The tunnel leads to somebody who speaks no TLS.
        (
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
            "http: server gave HTTP response to HTTPS client",
        ),
    ] {
        let (asked, outcome) = through(true, answer).await;
        assert_eq!(asked, connect);
        assert_eq!(outcome, format!("{url}: {expected}"));
    }
}
