//! Bearer tokens, as a server gives and wants them that follows the specification (distribution, "Token Authentication
//! Specification"): no registry of Debian comes with one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::sync::{Arc, Mutex};

use coracle_distribution::{Credentials, Endpoint, Registry, Settings, login};
use coracle_image::Reference;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What was asked, a line each: method, target, authorization, body.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers like a registry with a token server at `/token`, whose tokens are good for one request.
async fn serve(listener: TcpListener, asked: Asked) {
    let mut good = 0;
    while let Ok((stream, _)) = listener.accept().await {
        let _ = answer(stream, &asked, &mut good).await;
    }
}

async fn answer(stream: TcpStream, asked: &Asked, good: &mut u32) -> std::io::Result<()> {
    let authority = stream.local_addr()?;
    let mut stream = BufReader::new(stream);
    let (mut request, mut authorization, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        if request.is_empty() {
            request = line.trim_end_matches(" HTTP/1.1").to_owned();
        }
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                authorization = value.to_owned();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body);
    asked.lock().unwrap().push(
        format!("{request} [{authorization}] {body}")
            .trim_end()
            .to_owned(),
    );
    let wants =
        format!("WWW-Authenticate: Bearer realm=\"http://{authority}/token\",service=\"reg\"\r\n");
    let (status, header, text) = if request.contains(" /token") {
        if authorization == "Basic YW5uOndyb25n" {
            let text = r#"{"details":"incorrect username or password"}"#;
            ("401 Unauthorized", String::new(), text.to_owned())
        } else {
            *good += 1;
            let text = format!(r#"{{"token":"t{good}","refresh_token":"again"}}"#);
            ("200 OK", String::new(), text)
        }
    } else if authorization == format!("Bearer t{good}") {
        *good += 1;
        ("200 OK", String::new(), r#"{"tags":["1"]}"#.to_owned())
    } else {
        ("401 Unauthorized", wants, "{}".to_owned())
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{header}Connection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await
}

async fn server() -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let asked = Asked::default();
    tokio::spawn(serve(listener, Arc::clone(&asked)));
    (authority, asked)
}

fn ann(password: &str) -> Credentials {
    Credentials {
        username: "ann".into(),
        password: password.into(),
        ..Credentials::default()
    }
}

async fn connect(authority: &str, credentials: &Credentials) -> Registry {
    let endpoint = Endpoint {
        tls: false,
        authority: authority.to_owned(),
        verify: false,
        mirror: false,
    };
    let name = Reference::parse("a/b").unwrap().name;
    Registry::connect(&Settings::default(), &endpoint, &name, credentials, true)
        .await
        .unwrap()
}

#[tokio::test]
async fn tokens_are_fetched_and_renewed() {
    let (authority, asked) = server().await;
    let registry = connect(&authority, &ann("secret")).await;
    assert_eq!(registry.tags().await.unwrap(), ["1"]);
    assert_eq!(registry.tags().await.unwrap(), ["1"]);
    let token = "GET /token?service=reg&client_id=docker&scope=repository%3Aa%2Fb%3Apull%2Cpush&account=ann [Basic YW5uOnNlY3JldA==]";
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "GET /v2/ []",
            token,
            "GET /v2/a/b/tags/list [Bearer t1]",
            // It has expired.
            "GET /v2/a/b/tags/list [Bearer t1]",
            token,
            "GET /v2/a/b/tags/list [Bearer t3]",
        ]
    );
}

#[tokio::test]
async fn a_refresh_token_stands_for_the_password() {
    let (authority, asked) = server().await;
    let credentials = Credentials {
        identitytoken: "again".into(),
        ..Credentials::default()
    };
    let registry = connect(&authority, &credentials).await;
    assert_eq!(registry.tags().await.unwrap(), ["1"]);
    assert_eq!(
        asked.lock().unwrap()[1],
        "POST /token [] service=reg&client_id=docker&scope=repository%3Aa%2Fb%3Apull%2Cpush&grant_type=refresh%5Ftoken&refresh_token=again"
    );
}

#[tokio::test]
async fn a_login_gives_a_token_or_the_servers_refusal() {
    let (authority, asked) = server().await;
    let credentials = |password: &str| Credentials {
        serveraddress: authority.clone(),
        ..ann(password)
    };
    let settings = Settings::default();
    assert_eq!(
        login(&settings, &credentials("secret")).await.unwrap(),
        Some("again".to_owned())
    );
    let last = asked.lock().unwrap().clone();
    assert!(
        last.contains(&"GET /token?service=reg&client_id=docker&account=ann&offline_token=true [Basic YW5uOnNlY3JldA==]".to_owned()),
        "{last:?}"
    );
    assert_eq!(
        login(&settings, &credentials("wrong"))
            .await
            .unwrap_err()
            .to_string(),
        format!("Get \"http://{authority}/v2/\": unauthorized: incorrect username or password")
    );
}

#[tokio::test]
async fn credentials_stay_with_their_registry() {
    let (other, seen) = server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    // Wants a password, and sends uploads elsewhere.
    let registry_task = tokio::spawn(async move {
        let mut heads = Vec::new();
        for status in ["401 Unauthorized", "202 Accepted"] {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut authorized = false;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                authorized |= line.to_lowercase().starts_with("authorization: basic ");
                if line.trim_end().is_empty() {
                    break;
                }
            }
            heads.push(authorized);
            let answer = format!(
                "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=\"r\"\r\nLocation: http://{other}/up\r\n\
                 Connection: close\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    let registry = connect(&authority, &ann("secret")).await;
    let digest = coracle_image::Digest::of(b"blob");
    let refused = registry.upload_bytes(&digest, b"blob".to_vec()).await;
    assert!(refused.is_err());
    assert_eq!(registry_task.await.unwrap(), [false, true]);
    assert_eq!(
        *seen.lock().unwrap(),
        [format!("PUT /up?digest={digest} [] blob")]
    );
}
