//! Requests that are almost right: the engine answers each, never panics, and is afterwards as large as before.
//!
//! `CORACLE_MUTATIONS=10000 cargo test -p coracle --test pid1 mutated -- --nocapture` runs longer; `CORACLE_MUTATION_SEED` is
//! another course.

mod change;
mod request;
mod valid;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use change::mutate;
use request::{PATIENCE, Request, send};
use valid::valid;

use crate::client::ask;
use crate::host::Host;
use crate::random::{Random, given};

/// After so many requests what they made is removed, and what they removed is made.
const ROUND: u64 = 250;
/// How much larger the engine may be after all requests than after the first rounds, KiB: what the allocator does not give back.
const GROWTH: u64 = 2 << 10;

#[test]
fn mutated_requests_are_answered_and_leave_nothing_behind() {
    let (count, seed) = (
        given("CORACLE_MUTATIONS", 1000),
        given("CORACLE_MUTATION_SEED", 1),
    );
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    let socket = host.socket();
    let valid = valid();
    let mut random = Random::new(seed);
    let mut before = None;
    let mut answers = BTreeMap::new();
    for number in 0..count {
        if number % ROUND == 0 {
            renew(&host);
            if number >= count / 4 && before.is_none() {
                before = Some(size(&host));
            }
        }
        let request = mutate(random.pick(&valid), &mut random);
        let answer = send(&socket, &request);
        let shown = || format!("request {number} of seed {seed}:\n{}", request.show());
        let Some(answer) = answer else {
            *answers.entry(0).or_insert(0) += 1;
            continue;
        };
        *answers.entry(answer.status).or_insert(0) += 1;
        let message = answer.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        // An answer to HEAD has no body.
        if answer.status >= 500 && request.method != "HEAD" {
            assert!(!message.is_empty(), "{}\n{}", answer.text(), shown());
        }
        assert!(!message.contains("panic"), "{message}\n{}", shown());
        assert!(
            !host.log().contains("panicked"),
            "{}\n{}",
            host.log(),
            shown()
        );
        // What was made with odd settings is started with them.
        if answer.status == 201
            && let Some(id) = answer.json()["Id"].as_str()
        {
            let target = match answer.json().get("Warnings").is_some()
                && request.target.contains("containers")
            {
                true => format!("/containers/{id}/start"),
                false => format!("/exec/{id}/json"),
            };
            let method = if target.ends_with("start") {
                "POST"
            } else {
                "GET"
            };
            let second = Request::plain(method, &target);
            if let Some(answer) = send(&socket, &second) {
                let message = answer.json()["message"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                assert!(
                    answer.status < 500 || !message.is_empty(),
                    "{}\n{}",
                    answer.text(),
                    shown()
                );
                assert!(!message.contains("panic"), "{message}\n{}", shown());
            }
        }
    }
    renew(&host);
    let (before, after) = (before.expect("more than one round"), size(&host));
    println!(
        "answers by status (0: none within {PATIENCE:?}): {answers:?}; before {before:?}, after {after:?}"
    );
    assert!(
        after.descriptors <= before.descriptors,
        "{before:?} {after:?}"
    );
    assert!(
        after.memory <= before.memory + GROWTH,
        "{before:?} {after:?}"
    );
    assert!(!host.log().contains("panicked"), "{}", host.log());
    assert_eq!(host.check(), "");
}

/// Removes everything and makes what the requests are about.
fn renew(host: &Host) {
    let (text, code) = host.shell(
        "docker ps -aq | xargs -r docker rm -fv >/dev/null; docker volume prune -af >/dev/null; docker network prune -f >/dev/null
         docker images -q | sort -u | grep -v $(docker images -q busybox 2>/dev/null || echo none) | xargs -r docker rmi -f >/dev/null
         docker load -q -i busybox.tar >/dev/null; docker volume create vol >/dev/null; docker network create --subnet 10.78.0.0/24 net >/dev/null
         docker run -d --name runs --stop-signal KILL busybox sleep 1000 >/dev/null && docker create --name idle busybox true >/dev/null",
    );
    assert_eq!(code, 0, "{text}\n{}", host.log());
}

#[derive(Debug)]
struct Size {
    descriptors: usize,
    /// Its own memory, KiB (proc_pid_smaps(5)); that of the program file is shared with whoever else runs it.
    memory: u64,
}

/// How large the engine is, once nobody is connected: its descriptors become as few as they get.
fn size(host: &Host) -> Size {
    let proc = format!("/proc/{}", host.pid().as_raw_nonzero());
    let descriptors = || {
        fs::read_dir(format!("{proc}/fd"))
            .expect("the engine runs")
            .count()
    };
    let idle = |kind: &str| {
        let links = fs::read_dir(format!("{proc}/fd"))
            .expect("the engine runs")
            .flatten();
        let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
        links
            .filter(|link| link.to_string_lossy().starts_with(kind))
            .count()
    };
    // The listening socket and whatever else is there at first: not those of clients that have just gone.
    let mut last = (usize::MAX, usize::MAX);
    for _ in 0..200 {
        let now = (descriptors(), idle("socket:"));
        if now == last {
            break;
        }
        last = now;
        // Connections end in tasks of the engine; nothing tells from outside when the last has.
        std::thread::sleep(Duration::from_millis(100));
    }
    let text = fs::read_to_string(format!("{proc}/smaps_rollup")).expect("the engine runs");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss_Anon:"))
        .expect("a line");
    Size {
        descriptors: descriptors(),
        memory: line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number"),
    }
}

/// That the request is understood when nothing is changed: otherwise the test would test nothing.
#[test]
fn requests_that_are_mutated_are_right_before() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    renew(&host);
    let mut wrong = Vec::new();
    for (method, target, body) in valid() {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        if target.contains("/attach") || target.contains("/wait") {
            continue;
        }
        let target = target
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D");
        let attempt = || {
            let (socket, json) = (host.socket(), "application/json");
            ask(&socket, method, &target, json, body.as_bytes()).expect("an answer")
        };
        let mut answer = attempt();
        if answer.status == 404 {
            // One before has removed or renamed it.
            renew(&host);
            answer = attempt();
        }
        // Without a body there is nothing to unpack, nobody listens at port 1, and the exec does not exist.
        let hopeless = [
            "/load",
            "fromSrc",
            "127.0.0.1:1",
            "/auth",
            "/exec/abc",
            "/archive",
            "/resize",
            "/update",
        ];
        let expected = answer.status < 400 || hopeless.iter().any(|part| target.contains(part));
        if !expected {
            wrong.push(format!(
                "{method} {target}: {} {}",
                answer.status,
                answer.text()
            ));
        }
    }
    assert_eq!(wrong, [""; 0]);
}
