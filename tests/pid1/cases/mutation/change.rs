//! What is done to right requests.

use serde_json::{Value, json};

use super::request::Request;
use super::valid::Valid;
use crate::random::Random;

const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "1e999",
    "0.5",
    "NaN",
    "0x10",
    "99999999999999999999999999999999999999",
];
const TEXTS: &[&str] = &[
    "",
    " ",
    "/",
    "..",
    "../../../..",
    "\u{0}",
    "\u{1f6a3}",
    "a\nb",
    "%s%n",
    ":",
    "::",
    "a:b:c:d:e",
    "=",
    "{}",
    "[]",
    "-",
    "--help",
    "container:",
    "container:runs",
    "host",
    "none",
    "true",
    "null",
    "@",
    "sha256:",
    "a@sha256:0",
    "999999h",
    "-5s",
    "1.5.5",
];

fn text(random: &mut Random) -> String {
    match random.below(8) {
        0 => random.pick(NUMBERS).to_string(),
        1 => "x".repeat(1 << random.below(17)),
        2 => String::from_utf8_lossy(&random.bytes(12)).into_owned(),
        _ => random.pick(TEXTS).to_string(),
    }
}

/// A value of another kind than what is there, or of a size that nobody expects.
fn value(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!({}),
        3 => json!([]),
        4 => json!([null]),
        5 => json!({"": {"": null}}),
        6 => json!(i64::MAX),
        7 => json!(i64::MIN),
        8 => json!(u64::MAX),
        9 => json!(0.5),
        10 => json!([text(random), text(random)]),
        _ => json!(text(random)),
    }
}

/// Changes one place in a document.
fn change(document: &mut Value, random: &mut Random) {
    match document {
        Value::Object(map) if !map.is_empty() && random.below(8) > 0 => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = random.pick(&keys).clone();
            match random.below(12) {
                0 => drop(map.remove(&key)),
                1 => {
                    let old = map.remove(&key).unwrap_or_default();
                    map.insert(text(random), old);
                }
                2 => drop(map.insert(text(random), value(random))),
                _ => change(map.get_mut(&key).expect("it is there"), random),
            }
        }
        Value::Array(list) if !list.is_empty() && random.below(4) > 0 => {
            let index = usize::try_from(random.below(list.len() as u64)).expect("a length");
            match random.below(6) {
                0 => drop(list.remove(index)),
                1 => list.extend(vec![list[index].clone(); 100]),
                _ => change(&mut list[index], random),
            }
        }
        Value::String(old) if random.below(2) == 0 => {
            // A part of it stays right.
            let at = old
                .char_indices()
                .map(|(at, _)| at)
                .chain([old.len()])
                .collect::<Vec<_>>();
            let at = *random.pick(&at);
            old.insert_str(at, &text(random));
        }
        Value::Number(_) if random.below(2) == 0 => {
            *document = random
                .pick(NUMBERS)
                .parse::<f64>()
                .map_or(Value::Null, |number| json!(number));
        }
        other => *other = value(random),
    }
}

/// A request that is mostly right.
pub fn mutate(valid: &Valid, random: &mut Random) -> Request {
    let (method, target, body) = valid;
    let mut request = Request::plain(method, target);
    let mut document = body.clone();
    request
        .headers
        .push(("Content-Type".into(), "application/json".into()));
    let mut raw = None;
    for _ in 0..=random.below(3) {
        match random.below(16) {
            0 => {
                request.method = (*random.pick(&[
                    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "X",
                ]))
                .to_owned()
            }
            1 | 2 => request.target = change_path(&request.target, random),
            3..=6 => request.target = change_query(&request.target, random),
            7 => {
                let name = *random.pick(&[
                    "Content-Type",
                    "X-Registry-Auth",
                    "X-Registry-Config",
                    "Accept",
                    "Expect",
                    "Upgrade",
                    "Te",
                    "Range",
                ]);
                let odd = [
                    "",
                    "text/plain",
                    "application/json; charset=x",
                    "100-continue",
                    "tcp",
                    "eyJ9",
                    "e30=",
                    "trailers",
                    "bytes=0-1",
                ];
                request.headers.retain(|(old, _)| old != name);
                request
                    .headers
                    .push((name.into(), (*random.pick(&odd)).into()));
            }
            8 => request.headers.extend(
                (0..random.below(150)).map(|number| (format!("X-{number}"), "y".repeat(50))),
            ),
            9 => request.chunked = true,
            10 => {
                let depth = 1_usize << random.below(16);
                raw = Some(match random.below(3) {
                    0 => "[".repeat(depth).into_bytes(),
                    1 => [
                        b"{\"HostConfig\":".repeat(depth.min(5000)),
                        b"1".to_vec(),
                        b"}".repeat(depth.min(5000)),
                    ]
                    .concat(),
                    _ => random.bytes(depth),
                });
            }
            _ if document.is_null() => document = value(random),
            _ => change(&mut document, random),
        }
    }
    request.body = match raw {
        Some(raw) => raw,
        None if document.is_null() => Vec::new(),
        None => document.to_string().into_bytes(),
    };
    if random.below(20) == 0 && !request.body.is_empty() {
        // The document ends too soon, the message does not.
        let length = random.below(request.body.len() as u64);
        request
            .body
            .truncate(usize::try_from(length).expect("a length"));
    }
    if random.below(30) == 0 {
        let length = random.below(request.bytes().len() as u64);
        request.cut = Some(usize::try_from(length).expect("a length"));
    }
    request
}

/// Text that may stand in a request line.
fn escaped(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/=@,+".contains(&byte);
    text.bytes()
        .map(|byte| {
            if keep(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn change_path(target: &str, random: &mut Random) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let index = usize::try_from(random.below(parts.len() as u64)).expect("a length");
    match random.below(7) {
        0 => parts.insert(index, String::new()),
        1 => parts.insert(
            index,
            (*random.pick(&[
                "v1.24",
                "v1.53",
                "v1.99",
                "v0.1",
                "v99999999999.1",
                "v",
                "v1",
            ]))
            .to_owned(),
        ),
        2 => drop(parts.remove(index)),
        3 => parts[index]
            .push_str(random.pick::<&str>(&["%00", "%2F", "%", "%zz", "%FF", "..", "%2e%2e"])),
        4 => {
            parts[index] = (*random
                .pick(&["runs", "idle", "busybox", "vol", "net", "none", "json"]))
            .to_owned()
        }
        _ => parts[index] = escaped(&text(random)),
    }
    let path = parts.join("/");
    let path = if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    };
    format!("{path}?{query}")
}

fn change_query(target: &str, random: &mut Random) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| {
            (
                key.to_owned(),
                value.replace('"', "%22").replace(['{', '}'], ""),
            )
        })
        .collect();
    // Braces were taken away: filters are put back whole, and then mostly changed.
    for (key, value) in &mut pairs {
        if key == "filters" {
            *value = format!("%7B{value}%7D");
        }
    }
    let index = usize::try_from(random.below(pairs.len() as u64)).expect("a length");
    match random.below(8) {
        0 => pairs.push((escaped(&text(random)), escaped(&text(random)))),
        1 => drop(pairs.remove(index)),
        2 => pairs.push(pairs[index].clone()),
        3 => pairs[index].1 = escaped(random.pick::<&str>(NUMBERS)),
        4 if pairs[index].0 == "filters" => {
            pairs[index].1 =
                escaped(&json!({text(random): value(random), "status": value(random)}).to_string());
        }
        _ => pairs[index].1 = escaped(&text(random)),
    }
    let query: Vec<String> = pairs
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("{path}?{}", query.join("&"))
}
