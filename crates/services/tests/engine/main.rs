//! The acting part against a real engine: Coracle's own, started in namespaces, or the one that `CORACLE_TEST_SOCKET` names
//! (any dockerd). Needs root and the test image; says so and passes when something is missing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::sync::Mutex;
use std::time::Duration;

use bollard::query_parameters::RemoveImageOptions;
use coracle_services::{
    Done, Engines, Environment, Observer, Options, Outcome, Places, Project, Recreate, boot, cron,
    logs, ps, remove, restart, shut_down, stop, up,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use harness::{Machine, machine};
use serde_json::{Value, json};

const IMAGE: &str = "busybox:test";

fn service(command: &str, labels: &[(&str, &str)]) -> Value {
    let mut map = json!({"io.rancher.os.scope": "system"});
    for (label, value) in labels {
        map[*label] = json!(value);
    }
    json!({"image": IMAGE, "command": ["sh", "-c", command], "net": "none", "labels": map})
}

/// Runs until it is told to stop, and then ends at once.
const FOREVER: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

const AFTER: &str = "io.rancher.os.after";
const DETACH: &str = "io.rancher.os.detach";
const CREATE_ONLY: &str = "io.rancher.os.createonly";
const REBUILD: &str = "io.docker.compose.rebuild";

fn project(definitions: &Value) -> Project {
    let project = Project::parse(definitions, Environment::default());
    assert_eq!(project.problems, []);
    project
}

/// Outcomes as `name: what`, in the order in which they came.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Observer for Diary {
    fn done(&self, outcome: &Outcome) {
        assert!(outcome.start_us <= outcome.end_us);
        let what = match &outcome.result {
            Ok(done) => format!("{done:?}"),
            Err(error) => error.to_string(),
        };
        self.0
            .lock()
            .unwrap()
            .push(format!("{}: {what}", outcome.name));
    }
}

impl Diary {
    fn lines(self) -> Vec<String> {
        self.0.into_inner().unwrap()
    }

    fn sorted(self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines
    }
}

async fn bring_up(machine: &Machine, definitions: &Value, options: &Options) -> Vec<String> {
    let diary = Diary::default();
    up(&machine.engines, project(definitions), options, &diary)
        .await
        .unwrap();
    diary.lines()
}

#[tokio::test]
async fn services_start_in_order_and_stop_in_reverse() {
    let Some(machine) = machine("order").await else {
        return;
    };
    let definitions = json!({
        "third": service(FOREVER, &[(AFTER, "second")]),
        "second": service("cat /data/first; exit 3", &[(AFTER, "first"), (DETACH, "false")]),
        "first": service("echo written > /data/first", &[(DETACH, "false")]),
        "volumes": service("true", &[(CREATE_ONLY, "true")]),
        "broken": json!({"image": "no/such:image", "labels": {"io.rancher.os.scope": "system"}}),
    });
    let mut definitions = definitions;
    definitions["volumes"]["volumes"] = json!(["/data"]);
    for name in ["first", "second"] {
        definitions[name]["volumes_from"] = json!(["volumes"]);
    }
    let mut lines = bring_up(&machine, &definitions, &Options::default()).await;
    let broken = lines
        .iter()
        .position(|line| line.starts_with("broken"))
        .unwrap();
    assert_eq!(
        lines.remove(broken),
        "broken: image no/such:image is not on this machine; load it with `system-docker load` or put its tar into \
         /var/lib/rancher/preload/system-docker"
    );
    assert_eq!(
        lines,
        [
            "volumes: Created",
            "first: Ran",
            "second: exited with status 3",
            "third: Started"
        ]
    );

    let project = project(&definitions);
    let said: Vec<String> = logs(&machine.engines, &project, &["second".into()], 10, false)
        .await
        .unwrap()
        .map_ok(|line| String::from_utf8(line.line.to_vec()).unwrap())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(said, ["written"]);

    let rows = ps(&machine.engines).await.unwrap();
    let states: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "{} {}",
                row.name,
                row.state.split([' ', '(']).next().unwrap()
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            "first Exited",
            "second Exited",
            "third Up",
            "volumes Created"
        ]
    );

    let diary = Diary::default();
    restart(
        &machine.engines,
        &project,
        &["third".into()],
        Duration::ZERO,
        &diary,
    )
    .await
    .unwrap();
    assert_eq!(diary.lines(), ["third: Started"]);
    let diary = Diary::default();
    stop(&machine.engines, &project, &[], Duration::ZERO, &diary)
        .await
        .unwrap();
    assert_eq!(
        diary.sorted(),
        [
            "broken: Unchanged",
            "first: Unchanged",
            "second: Unchanged",
            "third: Stopped",
            "volumes: Unchanged"
        ]
    );
    let diary = Diary::default();
    remove(&machine.engines, &project, &[], true, &diary)
        .await
        .unwrap();
    assert_eq!(
        diary.sorted(),
        [
            "broken: Unchanged",
            "first: Removed",
            "second: Removed",
            "third: Removed",
            "volumes: Removed"
        ]
    );
}

#[tokio::test]
async fn containers_are_replaced_only_when_something_changed() {
    let Some(machine) = machine("replace").await else {
        return;
    };
    let mut definitions = json!({
        "plain": service(FOREVER, &[]),
        "kept": service(FOREVER, &[(REBUILD, "false")]),
        "fresh": service(FOREVER, &[(REBUILD, "always")]),
        "guest": service(FOREVER, &[]),
    });
    definitions["guest"]["net"] = json!("container:plain");
    let run = async |definitions: &Value, options: &Options| {
        let mut lines = bring_up(&machine, definitions, options).await;
        lines.sort();
        lines.join(" ")
    };
    let ids = async || {
        let rows = ps(&machine.engines).await.unwrap();
        rows.into_iter()
            .map(|row| (row.service, row.id))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let every = Options::default();
    assert_eq!(
        run(&definitions, &every).await,
        "fresh: Started guest: Started kept: Started plain: Started"
    );
    let before = ids().await;
    assert_eq!(
        run(&definitions, &every).await,
        "fresh: Started guest: Running kept: Running plain: Running"
    );
    let same = ids().await;
    let replaced = |old: &std::collections::BTreeMap<String, String>,
                    new: &std::collections::BTreeMap<String, String>| {
        let changed = old.keys().filter(|name| old[*name] != new[*name]);
        changed.cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(replaced(&before, &same), "fresh");

    for name in ["plain", "kept"] {
        definitions[name]["command"] = json!(["sh", "-c", format!(": changed; {FOREVER}")]);
    }
    let keep = Options {
        recreate: Recreate::Never,
        ..Options::default()
    };
    assert_eq!(
        run(&definitions, &keep).await,
        "fresh: Running guest: Running kept: Running plain: Running"
    );
    assert_eq!(
        run(&definitions, &every).await,
        "fresh: Started guest: Started kept: Running plain: Started"
    );
    let changed = ids().await;
    assert_eq!(replaced(&same, &changed), "fresh guest plain");

    let one = Options {
        names: vec!["guest".into()],
        recreate: Recreate::Always,
        ..Options::default()
    };
    assert_eq!(
        run(&definitions, &one).await,
        "guest: Started plain: Running"
    );
    assert_eq!(replaced(&changed, &ids().await), "guest");
}

#[tokio::test]
async fn boot_loads_waiting_archives_starts_services_and_writes_the_boot_log() {
    let Some(machine) = machine("boot").await else {
        return;
    };
    let root = machine.dir.path();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let definitions = json!({"rancher": {"services": {
        "loaded": {"image": "waiting:test", "command": "true", "net": "none",
            "labels": {"io.rancher.os.scope": "system", DETACH: "false", "io.rancher.os.reloadconfig": "true"}},
        "early": service(FOREVER, &[(AFTER, "loaded")]),
        "bad": {"image": "no/such:image", "labels": {"io.rancher.os.scope": "system"}},
    }}});
    write("usr/share/ros/os-config.yml", &definitions.to_string());
    let places = Places {
        tars: root.join("preload"),
        remembered: root.join("cache"),
    };
    let tar = places
        .directory(coracle_services::Kind::System)
        .join("waiting.tar.xz");
    harness::renamed_image("waiting:test", &tar);
    let engines = machine.engines.clone().with_preload(places.clone());
    let log = root.join("boot.json");
    boot(root, &engines, &log).await;
    let mut entries = coracle_boot_log::read(&log).unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let told: Vec<String> = entries
        .iter()
        .map(|e| {
            format!(
                "{} {}",
                e.name,
                e.error.as_deref().map_or("fine", |_| "failed")
            )
        })
        .collect();
    assert_eq!(told, ["bad failed", "early fine", "loaded fine"]);
    assert!(
        entries[1].start_us >= entries[2].end_us,
        "early came after loaded"
    );
    let list = std::fs::read_to_string(root.join("cache/preloaded-system-docker.json")).unwrap();
    assert!(list.contains("\"waiting.tar.xz\""), "{list}");

    // The second boot finds the archive remembered: with the image gone, its service fails.
    let engine = machine
        .engines
        .get(coracle_services::Kind::System)
        .await
        .unwrap();
    engine.remove("loaded", true).await.unwrap();
    engine
        .docker()
        .remove_image("waiting:test", None::<RemoveImageOptions>, None)
        .await
        .unwrap();
    std::fs::remove_file(&log).unwrap();
    boot(root, &machine.engines.clone().with_preload(places), &log).await;
    let entries = coracle_boot_log::read(&log).unwrap();
    let loaded = entries.iter().find(|e| e.name == "loaded").unwrap();
    assert!(
        loaded
            .error
            .as_deref()
            .unwrap()
            .starts_with("image waiting:test is not on this machine")
    );

    let project = coracle_services::load(root);
    shut_down(&machine.engines, &project, Duration::from_secs(30), &())
        .await
        .unwrap();
    let running = ps(&machine.engines).await.unwrap();
    assert!(
        running.iter().all(|row| !row.state.starts_with("Up")),
        "{running:?}"
    );
}

#[tokio::test]
async fn cron_starts_containers_and_leaves_nothing_behind() {
    let Some(machine) = machine("cron").await else {
        return;
    };
    let labels = [(CREATE_ONLY, "true"), ("cron.schedule", "@every 1s")];
    let definitions = json!({"job": service("echo ran", &labels)});
    let engine = machine
        .engines
        .get(coracle_services::Kind::System)
        .await
        .unwrap()
        .clone();
    let mut events = Box::pin(engine.docker().events(None));
    let job = tokio::spawn({
        let engine = engine.clone();
        async move { cron::run(&engine).await }
    });
    bring_up(&machine, &definitions, &Options::default()).await;
    let mut died = 0;
    let watch = async {
        while died < 2 {
            let event = events.next().await.unwrap().unwrap();
            died += usize::from(event.action.as_deref() == Some("die"));
        }
    };
    tokio::time::timeout(Duration::from_secs(60), watch)
        .await
        .expect("two runs of the job");
    job.abort();
    let rows = ps(&machine.engines).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
}

#[tokio::test]
async fn reload_brings_new_services() {
    struct Reload(Diary, Value);
    impl Observer for Reload {
        fn done(&self, outcome: &Outcome) {
            self.0.done(outcome);
        }
        fn reload(&self) -> Option<Project> {
            Some(project(&self.1))
        }
    }
    let Some(machine) = machine("reload").await else {
        return;
    };
    let before = json!({
        "network": service("true", &[(DETACH, "false"), ("io.rancher.os.reloadconfig", "true")]),
        "late": service("echo old", &[(AFTER, "network"), (DETACH, "false")]),
    });
    let mut after = before.clone();
    after["late"]["command"] = json!(["echo", "new"]);
    after["added"] = service("true", &[(AFTER, "late"), (DETACH, "false")]);
    let observer = Reload(Diary::default(), after);
    let outcomes = up(
        &machine.engines,
        project(&before),
        &Options::default(),
        &observer,
    )
    .await
    .unwrap();
    assert!(
        outcomes.iter().all(|o| matches!(o.result, Ok(Done::Ran))),
        "{outcomes:?}"
    );
    assert_eq!(
        observer.0.lines(),
        ["network: Ran", "late: Ran", "added: Ran"]
    );
}

#[tokio::test]
async fn users_services_run_where_docker_runs() {
    let Some(machine) = machine("scope").await else {
        return;
    };
    // One engine plays both parts; the container `docker` stands for the service that runs User Docker.
    let engines = Engines::at(&machine.socket, &machine.socket);
    let definitions = json!({
        "mine": {"image": IMAGE, "command": ["sh", "-c", FOREVER], "net": "none"},
        "docker": service(FOREVER, &[]),
    });
    let project = project(&definitions);
    let diary = Diary::default();
    up(&engines, project.clone(), &Options::default(), &diary)
        .await
        .unwrap();
    assert_eq!(diary.lines(), ["docker: Started", "mine: Started"]);

    let diary = Diary::default();
    let docker = ["docker".to_string()];
    stop(&engines, &project, &docker, Duration::ZERO, &diary)
        .await
        .unwrap();
    let mine = ["mine".to_string()];
    restart(&engines, &project, &mine, Duration::ZERO, &diary)
        .await
        .unwrap();
    stop(&engines, &project, &mine, Duration::ZERO, &diary)
        .await
        .unwrap();
    let socket = machine.socket.display();
    assert_eq!(
        diary.lines(),
        [
            "docker: Stopped".to_string(),
            format!(
                "mine: User Docker does not answer on {socket}: its service, docker, is not running"
            ),
            "mine: Unchanged".to_string(),
        ]
    );
}
