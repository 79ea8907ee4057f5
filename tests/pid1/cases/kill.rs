//! An engine that is killed at any moment, again and again: it comes back, has done what it said, and nothing is wrong.
//!
//! `CORACLE_KILL_CYCLES=200 cargo test -p coracle --test pid1 kill -- --nocapture` runs longer; `CORACLE_KILL_SEED` is another course.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tar::{Builder, EntryType};

use crate::busybox::{append, header, hex};
use crate::client::{Answer, ask};
use crate::host::{Host, Setup};
use crate::random::{Random, given};
use crate::registry::Registry;

/// Longest life of an engine, milliseconds.
const LIFE: u64 = 1500;

/// What is known of a thing after the kill: the path that shows it, and whether it must be there.
type Promises = BTreeMap<String, bool>;

#[test]
fn a_killed_engine_comes_back_with_all_it_promised_and_nothing_else() {
    let (cycles, seed) = (
        given("CORACLE_KILL_CYCLES", 6),
        given("CORACLE_KILL_SEED", 1),
    );
    let setup = Setup {
        own_network: true,
        plain: true,
        ..Setup::default()
    };
    let Some(mut host) = Host::start_as(setup) else {
        return;
    };
    let Some(_registry) = Registry::start(&host, 5000, false) else {
        return;
    };
    let archive = host.path("many.tar");
    write_image(&archive, &mut Random::new(seed));
    let (text, code) = host.shell(
        "docker load -q -i many.tar && docker tag many 127.0.0.1:5000/many && docker push -q 127.0.0.1:5000/many && docker rmi \
         many 127.0.0.1:5000/many",
    );
    assert_eq!(code, 0, "{text}");
    let archive = fs::read(archive).unwrap();
    for cycle in 0..cycles {
        let mut random = Random::new(seed.wrapping_mul(1_000_003) + cycle);
        let socket = host.socket();
        let workers: [fn(&mut Worker); 4] = [pull, load, containers, volumes_and_networks];
        let promises: Vec<Promises> = thread::scope(|scope| {
            let handles: Vec<_> = workers
                .iter()
                .enumerate()
                .map(|(number, work)| {
                    let mut worker = Worker {
                        socket: socket.clone(),
                        random: Random::new(random.next()),
                        prefix: format!("c{cycle}w{number}"),
                        archive: &archive,
                        promises: Promises::new(),
                    };
                    scope.spawn(move || {
                        work(&mut worker);
                        worker.promises
                    })
                })
                .collect();
            // The random moment: there is no event to wait for.
            thread::sleep(Duration::from_millis(random.below(LIFE)));
            host.kill();
            handles
                .into_iter()
                .map(|handle| handle.join().expect("no panic of a worker"))
                .collect()
        });
        host.revive();
        let found = host.check();
        assert_eq!(found, "", "cycle {cycle} of seed {seed}\n{}", host.log());
        for (target, exists) in promises.into_iter().flatten() {
            let answer = ask(&host.socket(), "GET", &target, "", b"").expect("an answer");
            let expected = if exists { 200 } else { 404 };
            assert_eq!(
                answer.status,
                expected,
                "cycle {cycle}, {target}: {}",
                answer.text()
            );
        }
        tidy(&host);
    }
    let log = host.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// Removes most of what there is, so that the next cycle finds something and not ever more.
fn tidy(host: &Host) {
    let (text, code) = host.shell(
        "docker ps -aq | tail -n +3 | xargs -r docker rm -fv >/dev/null; docker volume prune -af >/dev/null; docker network \
         prune -f >/dev/null",
    );
    assert_eq!((&*text, code), ("", 0));
}

/// One client that does things until the engine is gone.
struct Worker<'a> {
    socket: PathBuf,
    random: Random,
    prefix: String,
    archive: &'a [u8],
    promises: Promises,
}

impl Worker<'_> {
    /// `None` when the engine is gone.
    fn ask(&self, method: &str, target: &str, body: &serde_json::Value) -> Option<Answer> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        ask(
            &self.socket,
            method,
            target,
            "application/json",
            body.as_bytes(),
        )
        .ok()
    }

    /// Makes something that `shown` shows.
    fn make(
        &mut self,
        method: &str,
        target: &str,
        body: &serde_json::Value,
        shown: &str,
    ) -> Option<bool> {
        let answer = self.ask(method, target, body)?;
        if answer.is_good() {
            self.promises.insert(shown.to_owned(), true);
        }
        Some(answer.is_good())
    }

    /// Removes it.
    fn remove(&mut self, target: &str, shown: &str) -> Option<()> {
        // From here on nobody knows.
        self.promises.remove(shown);
        if self.ask("DELETE", target, &json!(null))?.is_good() {
            self.promises.insert(shown.to_owned(), false);
        }
        Some(())
    }
}

fn pull(worker: &mut Worker<'_>) {
    let shown = "/images/127.0.0.1:5000/many/json";
    let mut once = || {
        worker.make(
            "POST",
            "/images/create?fromImage=127.0.0.1:5000/many&tag=latest",
            &json!(null),
            shown,
        )?;
        worker.remove("/images/127.0.0.1:5000/many?force=1", shown)
    };
    while once().is_some() {}
}

fn load(worker: &mut Worker<'_>) {
    let shown = "/images/many/json";
    let mut once = || {
        let loaded = ask(
            &worker.socket,
            "POST",
            "/images/load?quiet=1",
            "application/x-tar",
            worker.archive,
        )
        .ok()?;
        if loaded.is_good() {
            worker.promises.insert(shown.to_owned(), true);
        }
        worker.remove("/images/many?force=1", shown)
    };
    while once().is_some() {}
}

fn containers(worker: &mut Worker<'_>) {
    let mut number = 0;
    let mut once = || {
        number += 1;
        let name = format!("{}n{number}", worker.prefix);
        let shown = format!("/containers/{name}/json");
        let command = *worker
            .random
            .pick(&["echo out; sleep 100", "yes | head -c 200000", "true"]);
        let network = *worker.random.pick(&["bridge", "none"]);
        let body = json!({
            "Image": "busybox", "Cmd": ["sh", "-c", command], "StopSignal": "KILL",
            "Volumes": {"/anonymous": {}, "/data": {}},
            "HostConfig": {"NetworkMode": network, "Binds": [format!("{name}:/named")],
                           "PortBindings": {"80/tcp": [{}]}},
        });
        let made = worker.make(
            "POST",
            &format!("/containers/create?name={name}"),
            &body,
            &shown,
        )?;
        assert!(made, "create {name}");
        worker.promises.insert(format!("/volumes/{name}"), true);
        worker.ask("POST", &format!("/containers/{name}/start"), &json!(null))?;
        match worker.random.below(4) {
            0 => drop(worker.ask("POST", &format!("/containers/{name}/stop"), &json!(null))?),
            1 => drop(worker.ask("POST", &format!("/containers/{name}/restart"), &json!(null))?),
            2 => {
                let new = format!("{name}renamed");
                worker.promises.remove(&shown);
                let renamed = worker.ask(
                    "POST",
                    &format!("/containers/{name}/rename?name={new}"),
                    &json!(null),
                )?;
                if renamed.is_good() {
                    worker.promises.insert(shown, false);
                    worker
                        .promises
                        .insert(format!("/containers/{new}/json"), true);
                    return Some(());
                }
            }
            _ => worker.remove(&format!("/containers/{name}?force=1&v=1"), &shown)?,
        }
        Some(())
    };
    while once().is_some() {}
}

fn volumes_and_networks(worker: &mut Worker<'_>) {
    let mut number = 0;
    let mut once = || {
        number += 1;
        let name = format!("{}n{number}", worker.prefix);
        for (kind, option) in [("volumes", "Labels"), ("networks", "Options")] {
            let shown = format!("/{kind}/{name}");
            let made = worker.make(
                "POST",
                &format!("/{kind}/create"),
                &json!({"Name": name, option: {}}),
                &shown,
            )?;
            if made && worker.random.below(2) == 0 {
                worker.remove(&shown, &shown)?;
            }
        }
        Some(())
    };
    while once().is_some() {}
}

/// An archive of `many:latest`, of several layers, each with some thousand bytes in some dozen files.
fn write_image(path: &Path, random: &mut Random) {
    let mut archive = Builder::new(fs::File::create(path).expect("make the archive"));
    let (mut diff_ids, mut names) = (Vec::new(), Vec::new());
    for number in 0..6 {
        let mut layer = Builder::new(Vec::new());
        for file in 0..40 {
            let content = random.bytes(8000);
            let mut head = header(EntryType::Regular, content.len() as u64, 0o644);
            layer
                .append_data(&mut head, format!("{number}-{file}"), &content[..])
                .expect("write a layer");
        }
        let layer = layer.into_inner().expect("write a layer");
        let name = format!("{number}.tar");
        append(&mut archive, &name, &layer).expect("write the archive");
        diff_ids.push(format!("sha256:{}", hex(&layer)));
        names.push(name);
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": ["many:latest"], "Layers": names}]);
    append(&mut archive, "config.json", config.to_string().as_bytes()).expect("write the archive");
    append(
        &mut archive,
        "manifest.json",
        manifest.to_string().as_bytes(),
    )
    .expect("write the archive");
    archive.into_inner().expect("write the archive");
}
