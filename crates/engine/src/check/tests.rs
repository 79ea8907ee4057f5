//! Damaged states, and what is said about them.

use std::fs;
use std::path::Path;

use coracle_container_network::ipam::Pool;
use coracle_container_network::{Driver, Network};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::container::Container;
use crate::disk::{self, Durability};
use crate::record::{MountKind, MountPoint, Record, State, Status};

const LOG: &str = "{\"log\":\"hi\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n";

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

/// The digest of the only layer: of the empty archive, so that an empty recipe makes it.
fn layer_id() -> String {
    hex(b"")
}

fn network(letter: char, name: &str, subnet: &str) -> Network {
    let subnet: coracle_container_network::Cidr = subnet.parse().unwrap();
    Network {
        pools: vec![Pool {
            subnet,
            range: None,
            gateway: subnet.address,
            auxiliary: Default::default(),
            configured: true,
        }],
        ..Network::new(
            id(letter),
            name.to_owned(),
            "2026-01-01T00:00:00Z".into(),
            Driver::Bridge,
        )
    }
}

fn write_network(root: &Path, network: &Network) {
    let path = root.join(format!("networks/{}.json", network.id));
    disk::write_json(&path, network, Durability::Ordered).unwrap();
}

fn write_container(root: &Path, letter: char, name: &str, status: Status) {
    let dir = root.join("containers").join(id(letter));
    fs::create_dir_all(dir.join("upper")).unwrap();
    let record = Record {
        id: id(letter),
        name: name.to_owned(),
        layers: vec![root.join("layers").join(layer_id()).join("diff")],
        mounts: vec![MountPoint {
            kind: MountKind::Volume,
            name: Some("data".into()),
            ..MountPoint::default()
        }],
        ..Record::default()
    };
    let state = State {
        status,
        started_at: "2026-01-02T03:04:05Z".into(),
        ..State::default()
    };
    let container = Container::new(dir.clone(), record, state);
    container.save_record().unwrap();
    container.save_state();
    fs::write(dir.join(format!("{}-json.log", id(letter))), LOG).unwrap();
}

/// One of everything, and nothing wrong with it. Gives the image's id.
fn build(root: &Path) -> String {
    for dir in ["containers", "images", "networks", "volumes/data/_data"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let layer = root.join("layers").join(layer_id());
    fs::create_dir_all(layer.join("diff")).unwrap();
    fs::write(layer.join("size"), "0").unwrap();
    // zstd's frame of nothing.
    fs::write(
        layer.join("recipe"),
        [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00],
    )
    .unwrap();
    let config = format!(
        "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:{}\"]}}}}",
        layer_id()
    );
    let image = hex(config.as_bytes());
    fs::write(root.join(format!("images/{image}.json")), &config).unwrap();
    let names = format!("{{\"names\":{{\"docker.io/library/x:latest\":\"sha256:{image}\"}}}}");
    fs::write(root.join("images/repositories.json"), names).unwrap();
    let volume = "{\"name\":\"data\",\"created\":\"2026-01-01T00:00:00Z\"}";
    fs::write(root.join("volumes/data/volume.json"), volume).unwrap();
    write_network(root, &network('e', "net", "10.9.0.0/24"));
    write_container(root, 'c', "web", Status::Exited);
    image
}

fn look(root: &Path) -> Vec<String> {
    let check = Check {
        root: root.to_owned(),
        exec_root: root.join("run"),
        bundled: None,
        cgroup_parent: "/coracle-no-such-group".into(),
        digests: true,
    };
    let findings = check.run();
    let place = format!("{}/", root.display());
    findings
        .iter()
        .map(|finding| finding.to_string().replace(&place, ""))
        .collect()
}

/// What happens to the good state, and the lines about it; `C`, `L`, `I` stand for the container's, layer's, image's id.
type Case = (&'static str, fn(&Path, &str), &'static [&'static str]);

const CASES: &[Case] = &[
    ("nothing", |_, _| {}, &[]),
    (
        "a removal was cut short",
        |root, _| fs::create_dir(root.join(format!("containers/{}.removed", id('b')))).unwrap(),
        &["containers/B.removed: is left over: start the engine, which removes it"],
    ),
    (
        "a creation was cut short",
        |root, _| fs::create_dir_all(root.join(format!("containers/{}/upper", id('b')))).unwrap(),
        &["container B: was never created completely: start the engine, which removes it"],
    ),
    (
        "a record is damaged",
        |root, _| {
            fs::write(
                root.join(format!("containers/{}/container.json", id('c'))),
                "{",
            )
            .unwrap()
        },
        &[
            "container C: its record is damaged: containers/C/container.json: EOF while parsing an object at line 1 column 1: \
             restore the file, or delete the container's directory",
        ],
    ),
    (
        "a record was copied",
        |root, _| {
            let dir = root.join(format!("containers/{}", id('b')));
            fs::create_dir(&dir).unwrap();
            let from = root.join(format!("containers/{}/container.json", id('c')));
            fs::copy(from, dir.join("container.json")).unwrap();
        },
        &["container B (web): its record is that of C: delete the container's directory"],
    ),
    (
        "a state is lost",
        |root, _| fs::remove_file(root.join(format!("containers/{}/state.json", id('c')))).unwrap(),
        &[
            "container C (web): its state is lost: read containers/C/state.json: No such file or directory (os error 2): \
             docker start or remove it",
        ],
    ),
    (
        "the engine was killed",
        |root, _| write_container(root, 'c', "web", Status::Running),
        &["container C (web): is running without an engine: start the engine, which notes its end"],
    ),
    (
        "a write was cut short",
        |root, _| {
            fs::write(
                root.join(format!("containers/{}/state.json.new", id('c'))),
                "",
            )
            .unwrap()
        },
        &["containers/C/state.json.new: is left over: start the engine, which removes it"],
    ),
    (
        "a log is missing",
        |root, _| {
            fs::remove_file(root.join(format!("containers/{0}/{0}-json.log", id('c')))).unwrap()
        },
        &[
            "container C (web): its log containers/C/C-json.log: No such file or directory (os error 2): start it, which \
             begins a new one",
        ],
    ),
    (
        "an entry of a log is cut short",
        |root, _| {
            let log = root.join(format!("containers/{0}/{0}-json.log", id('c')));
            fs::write(log, format!("{LOG}{}{LOG}", &LOG[..20])).unwrap();
        },
        &[
            "container C (web): line 2 of its log is no entry: delete the line; docker logs leaves it out",
        ],
    ),
    (
        "an own directory is missing",
        |root, _| fs::remove_dir(root.join(format!("containers/{}/upper", id('c')))).unwrap(),
        &["container C (web): its own files (upper) do not exist: docker rm it"],
    ),
    (
        "two containers have one name",
        |root, _| write_container(root, 'b', "web", Status::Exited),
        &["container ? (web): container ? has the same name: delete the directory of one of them"],
    ),
    (
        "a layer is missing",
        |root, _| fs::remove_dir_all(root.join("layers").join(layer_id())).unwrap(),
        &[
            "container C (web): layer layers/L/diff does not exist: remove the container and create it again",
            "image sha256:I: cannot read layers/L/size: No such file or directory (os error 2): remove the image (docker rmi \
             -f) and load or pull it again",
            "image name docker.io/library/x:latest: means image sha256:I, which does not exist: start the engine, which \
             forgets it; load or pull the image again",
        ],
    ),
    (
        "a layer's file was added",
        |root, _| fs::write(root.join("layers").join(layer_id()).join("x"), "").unwrap(),
        &["layer sha256:L: layers/L/x is left over: delete it"],
    ),
    (
        "a layer is another",
        |root, _| {
            let (old, new) = (
                root.join("layers").join(layer_id()),
                root.join("layers").join(id('d')),
            );
            fs::create_dir_all(new.join("diff")).unwrap();
            for name in ["size", "recipe"] {
                fs::copy(old.join(name), new.join(name)).unwrap();
            }
        },
        &[
            "layer sha256:D: cannot read layers/D/diff: the layer has changed: its digest is now sha256:L: remove the image \
             (docker rmi -f) and load or pull it again",
            "layer sha256:D: no image and no container has it: start the engine, which removes it",
        ],
    ),
    (
        "a layer was being unpacked",
        |root, _| fs::create_dir(root.join("layers/.layer-1")).unwrap(),
        &["layers/.layer-1: is left over: start the engine, which removes it"],
    ),
    (
        "an image's configuration has changed",
        |root, image| fs::write(root.join(format!("images/{image}.json")), "{}").unwrap(),
        &[
            "image name docker.io/library/x:latest: means image sha256:I, which does not exist: start the engine, which \
             forgets it; load or pull the image again",
            "image sha256:I: images/I.json: its content is not what its name says: remove the image (docker rmi -f) and load \
             or pull it again",
        ],
    ),
    (
        "an image has no names yet",
        |root, image| fs::write(root.join(format!("images/.making-{image}")), "").unwrap(),
        &["images/.making-I: is left over: start the engine, which removes it"],
    ),
    (
        "the names of images are damaged",
        |root, _| fs::write(root.join("images/repositories.json"), "").unwrap(),
        &[
            "names of images: images/repositories.json: EOF while parsing a value at line 1 column 0: delete the file; \
             images are then found by id only",
        ],
    ),
    (
        "a volume is missing",
        |root, _| fs::remove_dir_all(root.join("volumes/data")).unwrap(),
        &["container C (web): volume data does not exist: docker volume create it"],
    ),
    (
        "a volume was never finished",
        |root, _| fs::create_dir_all(root.join("volumes/new/_data")).unwrap(),
        &[
            "volume new: its labels and options are lost: read volumes/new/volume.json: No such file or directory (os error \
             2): create it again and copy its files",
        ],
    ),
    (
        "a volume was never removed",
        |root, _| {
            fs::create_dir_all(root.join("volumes/old")).unwrap();
            fs::create_dir_all(root.join("volumes/.removed-older")).unwrap();
        },
        &[
            "volume old: has no directory _data: start the engine, which removes it",
            "volumes/.removed-older: is left over: start the engine, which removes it",
        ],
    ),
    (
        "networks collide",
        |root, _| write_network(root, &network('f', "net", "10.9.0.128/25")),
        &[
            "network ? (net): its subnet ? overlaps ? of network net: docker network rm one of them",
            "network ? (net): network ? has the same name: docker network rm one of them",
        ],
    ),
    (
        "a network's record is damaged",
        |root, _| {
            fs::write(root.join(format!("networks/{}.json", id('f'))), "[]").unwrap();
            fs::write(root.join(format!("networks/{}.json.new", id('f'))), "[]").unwrap();
        },
        &[
            "network F: its record is damaged: networks/F.json: invalid length 0, expected struct Network with 12 elements \
             at line 1 column 2: delete the file and create the network again",
            "networks/F.json.new: is left over: start the engine, which removes it",
        ],
    ),
    (
        "a run was cut short",
        |root, _| {
            for dir in ["bundles", "runtime", "runtime/.bundles", "rootfs", "mounts"] {
                fs::create_dir_all(root.join("run").join(dir).join(id('c'))).unwrap();
            }
        },
        &[
            "run/bundles/C: is left over: start the engine, which removes it",
            "run/mounts/C: is left over: start the engine, which removes it",
            "run/rootfs/C: is left over: start the engine, which removes it",
            "run/runtime/.bundles/C: is left over: start the engine, which removes it",
            "run/runtime/C: is left over: start the engine, which removes it",
        ],
    ),
    (
        "containers were made here before",
        |root, _| {
            for dir in [".bundles", ".filters", ".staging"] {
                fs::create_dir_all(root.join("run/runtime").join(dir)).unwrap();
            }
        },
        &[],
    ),
    (
        "there is nothing at all",
        |root, _| fs::remove_dir_all(root).unwrap(),
        &["ROOT: is no directory: give the engine's directory with --root"],
    ),
];

#[test]
fn damage_is_found_and_named() {
    for (what, damage, expected) in CASES {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let image = build(&root);
        damage(&root, &image);
        let mut found: Vec<String> = look(&root)
            .into_iter()
            .map(|line| {
                let line = line.replace(&root.display().to_string(), "ROOT");
                let line = line.replace(&image, "I").replace(&layer_id(), "L");
                "bcdf".chars().fold(line, |line, letter| {
                    line.replace(&id(letter), &letter.to_uppercase().to_string())
                })
            })
            .collect();
        // Which of two is found first is up to the file system.
        if what.starts_with("two") || what.ends_with("collide") {
            let either = [
                " B",
                " C",
                " E",
                " F",
                &id('e'),
                "10.9.0.0/24",
                "10.9.0.128/25",
            ];
            for line in &mut found {
                for text in either {
                    let mark = if text.starts_with(' ') { " ?" } else { "?" };
                    *line = line.replace(text, mark);
                }
            }
        }
        found.sort();
        let mut expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        expected.sort();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn what_a_running_engine_is_doing_is_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    build(root);
    write_container(root, 'c', "web", Status::Running);
    fs::create_dir(root.join("layers/.receive-1")).unwrap();
    fs::write(root.join("images/.making-1"), "").unwrap();
    fs::create_dir_all(root.join("run/bundles").join(id('c'))).unwrap();
    fs::create_dir_all(root.join("run/bundles").join(id('d'))).unwrap();
    let lock = crate::lock::RootLock::take(root).unwrap();
    assert_eq!(
        look(root),
        [format!(
            "run/bundles/{}: is left over: start the engine, which removes it",
            id('d')
        )]
    );
    drop(lock);
    assert_eq!(look(root).len(), 5);
}
