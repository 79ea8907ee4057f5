//! What the store must do.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use coracle_image::bundle::layer::{Attributes, Kind, append};
use coracle_image::config::History;
use coracle_image::{
    Commit, Digest, Error, Image, ImageUse, Loaded, Origin, Reference, Removed, Store,
};
use coracle_sys::spawn::Direct;
use serde_json::json;
use tempfile::TempDir;

use crate::archives::{config, gzip, layer, layout, legacy, oci, tar, xz};

type Case = (&'static str, fn());

pub const ALL: &[Case] = &[
    ("archives_of_every_style_give_the_same_image", every_style),
    (
        "layers_are_shared_and_go_with_their_last_image",
        shared_layers,
    ),
    ("a_name_moves_to_the_newest_image", moved_name),
    ("images_survive_reopening_and_leftovers_do_not", reopened),
    ("damaged_archives_add_nothing_and_say_why", damaged),
    ("layers_in_use_outlive_their_image", in_use),
    ("bundled_images_are_found_and_kept", bundled),
    ("saved_images_load_as_the_same", saved),
    ("an_image_comes_piece_by_piece_or_not_at_all", received),
    ("layers_stay_while_an_image_in_the_making_has_them", held),
    ("committed_images_share_what_they_are_made_of", committed),
    (
        "committed_images_may_begin_with_bundled_layers",
        committed_on_bundled,
    ),
];

struct Place {
    dir: TempDir,
    store: Arc<Store>,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(None, dir.path().join("data")).unwrap();
    let store = Arc::new(store);
    Place { dir, store }
}

impl Place {
    fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>, Error> {
        load(&self.store, archive)
    }

    fn layers(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path().join("data/layers"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn load(store: &Store, archive: &[u8]) -> Result<Vec<Loaded>, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(archive).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    store.load(OwnedFd::from(file), &Direct, &mut |_| {})
}

fn content(image: &Image) -> Vec<String> {
    let read = |path: &Path| {
        fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
    };
    let mut all: Vec<_> = image.layers.iter().flat_map(|layer| read(layer)).collect();
    all.sort();
    all
}

fn every_style() {
    let (a, b) = (layer(&[("a", "1")]), layer(&[("b", "22")]));
    let config = config(&[&a, &b, &a], "2026-01-01T00:00:00Z");
    let names = json!(["busybox:1", "ghcr.io/x/y:z"]);
    let zstd = zstd::encode_all(&b[..], 1).unwrap();
    let gz = gzip(&a);
    for archive in [
        legacy(&config, &[&a, &b, &a], names.clone()),
        gzip(&legacy(&config, &[&a, &b, &a], names.clone())),
        layout(&config, &[&a, &b, &a], names.clone()),
        layout(&config, &[&gz, &zstd, &gz], names.clone()),
        zstd::encode_all(&layout(&config, &[&gz, &b, &a], names.clone())[..], 1).unwrap(),
        oci(
            &config,
            &[&gz, &xz(&b), &gz],
            &["busybox:1", "ghcr.io/x/y:z"],
        ),
        xz(&layout(&config, &[&xz(&a), &b, &a], names.clone())),
    ] {
        let place = place();
        let loaded = place.load(&archive).unwrap();
        let lines: Vec<_> = loaded.iter().flat_map(Loaded::lines).collect();
        assert_eq!(
            lines,
            ["Loaded image: busybox:1", "Loaded image: ghcr.io/x/y:z"]
        );
        let image = place.store.get("busybox:1").unwrap();
        assert_eq!(image.id, Digest::of(&config));
        assert_eq!(content(&image), ["a", "a", "b"]);
        assert_eq!(
            (image.size, image.layer_sizes.as_slice()),
            (4, &[1, 2, 1][..])
        );
        assert_eq!(image.tags, ["busybox:1", "ghcr.io/x/y:z"]);
        assert_eq!(image.config.config.cmd, Some(vec!["sh".to_owned()]));
        assert_eq!(place.layers(), {
            let mut names = [
                Digest::of(&a).hex().to_owned(),
                Digest::of(&b).hex().to_owned(),
            ];
            names.sort();
            names
        });
    }
    let place = place();
    let loaded = place
        .load(&legacy(&config, &[&a, &b, &a], json!(null)))
        .unwrap();
    assert_eq!(
        loaded[0].lines(),
        [format!("Loaded image ID: {}", Digest::of(&config))]
    );
}

fn shared_layers() {
    let (base, x, y) = (
        layer(&[("base", "")]),
        layer(&[("x", "")]),
        layer(&[("y", "")]),
    );
    let (cx, cy) = (
        config(&[&base, &x], "2026-01-01T00:00:00Z"),
        config(&[&base, &y], "2026-02-01T00:00:00Z"),
    );
    let place = place();
    place
        .load(&legacy(&cx, &[&base, &x], json!(["x:1"])))
        .unwrap();
    place
        .load(&layout(&cy, &[&base, &y], json!(["y:1"])))
        .unwrap();
    let listed: Vec<_> = place
        .store
        .list()
        .into_iter()
        .flat_map(|image| image.tags)
        .collect();
    assert_eq!(listed, ["y:1", "x:1"]);
    assert_eq!(place.layers().len(), 3);
    assert_eq!(
        place.store.remove("x:1", false, &[]).unwrap(),
        [
            Removed::Untagged("x:1".into()),
            Removed::Deleted(Digest::of(&cx)),
            Removed::Deleted(Digest::of(&x))
        ]
    );
    assert_eq!(place.layers().len(), 2);
    assert_eq!(place.store.remove("y:1", false, &[]).unwrap().len(), 4);
    assert_eq!(place.layers(), Vec::<String>::new());
    assert_eq!(
        place.store.get("y:1").unwrap_err().to_string(),
        "No such image: y:1"
    );
}

fn moved_name() {
    let (a, b) = (layer(&[("a", "")]), layer(&[("b", "")]));
    let (ca, cb) = (
        config(&[&a], "2026-01-01T00:00:00Z"),
        config(&[&b], "2026-01-01T00:00:00Z"),
    );
    let place = place();
    place.load(&legacy(&ca, &[&a], json!(["x:1"]))).unwrap();
    let loaded = place.load(&legacy(&cb, &[&b], json!(["x:1"]))).unwrap();
    let old = Digest::of(&ca);
    assert_eq!(
        loaded[0].lines(),
        [
            format!(
                "The image x:1 already exists, renaming the old one with ID {old} to empty string"
            ),
            "Loaded image: x:1".to_owned()
        ]
    );
    assert_eq!(place.store.get("x:1").unwrap().id, Digest::of(&cb));
    assert_eq!(
        place.store.get(old.short()).unwrap().tags,
        Vec::<String>::new()
    );
    // And back, by hand.
    place
        .store
        .tag(old.short(), &Reference::parse("x:1").unwrap())
        .unwrap();
    place
        .store
        .tag("x:1", &Reference::parse("localhost:5000/z").unwrap())
        .unwrap();
    assert_eq!(
        place.store.get("localhost:5000/z").unwrap().tags,
        ["localhost:5000/z:latest", "x:1"]
    );
    let digested = Reference::parse(&format!("x@{old}")).unwrap();
    let error = place.store.tag("x:1", &digested).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.status()),
        ("refusing to create a tag with a digest reference", 400)
    );
}

fn reopened() {
    let a = layer(&[("a", "")]);
    let (good, bad) = (
        config(&[&a], "2026-01-01T00:00:00Z"),
        config(&[b"gone"], "2026-01-01T00:00:00Z"),
    );
    let Place { dir, store } = place();
    load(&store, &legacy(&good, &[&a], json!(["x:1"]))).unwrap();
    drop(store);
    let root = dir.path().join("data");
    fs::create_dir_all(root.join("layers/.layer-99/diff")).unwrap();
    fs::write(root.join("images/.repositories.json-1"), "{").unwrap();
    // One whose names were not yet written, and one whose were.
    let unnamed = config(&[&a], "2026-01-02T00:00:00Z");
    let unnamed_id = Digest::of(&unnamed);
    let unnamed_file = root.join(format!("images/{}.json", unnamed_id.hex()));
    fs::write(&unnamed_file, &unnamed).unwrap();
    for id in [&unnamed_id, &Digest::of(&good)] {
        fs::write(root.join(format!("images/.making-{}", id.hex())), "").unwrap();
    }
    let bad_id = Digest::of(&bad);
    fs::write(root.join(format!("images/{}.json", bad_id.hex())), &bad).unwrap();
    fs::write(root.join(format!("images/{}.json", "0".repeat(64))), "{}").unwrap();
    let store = Store::open(None, root.clone()).unwrap();
    assert_eq!(store.get("x:1").unwrap().id, Digest::of(&good));
    assert!(!root.join("layers/.layer-99").exists());
    assert!(!unnamed_file.exists());
    assert!(fs::read_dir(root.join("images")).unwrap().all(|entry| {
        let name = entry.unwrap().file_name();
        !name.to_string_lossy().starts_with('.')
    }));
    assert_eq!(store.problems().len(), 2, "{:?}", store.problems());
    assert_eq!(store.list().len(), 1);
    fs::write(root.join("images/repositories.json"), "{\"names\": 1}").unwrap();
    let error = Store::open(None, root.clone()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{}/images/repositories.json: invalid type: integer `1`, expected a map at line 1 column 11",
            root.display()
        )
    );
}

fn damaged() {
    let a = layer(&[("a", "")]);
    let escape = {
        let mut bytes = layer(&[("xx/evil", "")]);
        // The tar crate refuses to write such a name.
        bytes[..7].copy_from_slice(b"../evil");
        let sum: u32 = bytes[..512]
            .iter()
            .enumerate()
            .map(|(i, b)| {
                if (148..156).contains(&i) {
                    32
                } else {
                    u32::from(*b)
                }
            })
            .sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    };
    let config_a = config(&[&a], "2026-01-01T00:00:00Z");
    let config_escape = config(&[&escape], "2026-01-01T00:00:00Z");
    let wrong = layer(&[("other", "")]);
    let place = place();
    for (archive, message) in [
        (b"not a tar".to_vec(), "cannot read the archive: "),
        (
            vec![],
            "invalid archive: neither manifest.json nor oci-layout: this is no image archive",
        ),
        (
            tar(&[("x", b"y")]),
            "invalid archive: neither manifest.json nor oci-layout: this is no image archive",
        ),
        (
            tar(&[("oci-layout", b"{}")]),
            "the archive has no file index.json",
        ),
        (
            tar(&[("manifest.json", b"[{")]),
            "manifest.json: EOF while parsing an object at line 1 column 2",
        ),
        (
            tar(&[("manifest.json", br#"[{"Config":"../../etc/passwd"}]"#)]),
            "the archive has no file ../../etc/passwd",
        ),
        (
            tar(&[("manifest.json", br#"[{"Config":"manifest.json"}]"#)]),
            "manifest.json: invalid type: map, expected a string",
        ),
        (
            legacy(&config_a, &[], json!(["x:1"])),
            "invalid manifest, layers length mismatch: expected 0, got 1",
        ),
        (
            legacy(&config_a, &[&wrong], json!(["x:1"])),
            "layer is damaged: its digest is ",
        ),
        (
            legacy(&config_a, &[&a], json!(["X:1"])),
            "invalid name \"X:1\" in manifest.json",
        ),
        (
            legacy(&config_escape, &[&escape], json!(["x:1"])),
            "layer entry ../evil: a path that leaves the layer",
        ),
        (
            legacy(&config_a, &[&a], json!(["x:1"]))[..600].to_vec(),
            "cannot read the archive: ",
        ),
        (
            b"BZh91AY&SY".to_vec(),
            "cannot read the archive: compressed with bzip2, which is not supported: use gzip, zstd or xz",
        ),
    ] {
        let error = place.load(&archive).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error} / {message}");
        assert_eq!(place.layers(), Vec::<String>::new(), "{message}");
        assert_eq!(place.store.list().len(), 0);
    }
    // A complete layer of an archive that is damaged later goes, too.
    let config_two = config(&[&a, &wrong], "2026-01-01T00:00:00Z");
    assert!(
        place
            .load(&layout(&config_two, &[&a, &a], json!([])))
            .is_err()
    );
    assert_eq!(place.layers(), Vec::<String>::new());
}

fn in_use() {
    let a = layer(&[("a", "")]);
    let config = config(&[&a], "2026-01-01T00:00:00Z");
    let place = place();
    place.load(&legacy(&config, &[&a], json!(["x:1"]))).unwrap();
    let image = place.store.get("x:1").unwrap();
    let stopped = [ImageUse {
        container: "c".repeat(64),
        running: false,
    }];
    let error = place.store.remove("x:1", false, &stopped).unwrap_err();
    assert_eq!(error.status(), 409);
    let removed = place.store.remove("x:1", true, &stopped).unwrap();
    assert_eq!(
        removed,
        [
            Removed::Untagged("x:1".into()),
            Removed::Deleted(image.id.clone())
        ]
    );
    place.store.prune_layers(&image.layers).unwrap();
    assert_eq!(place.layers().len(), 1);
    place.store.prune_layers(&[]).unwrap();
    assert_eq!(place.layers().len(), 0);
}

/// A bundled image with one layer: directory of everything, the bundle's root, and layer and configuration.
fn bundle() -> (TempDir, std::path::PathBuf, (Vec<u8>, Vec<u8>)) {
    let mut builder = ::tar::Builder::new(Vec::new());
    let attributes = Attributes {
        kind: Kind::File(1),
        mode: 0o640,
        uid: 0,
        gid: 7,
        mtime: 1_767_225_600,
    };
    append(&mut builder, "a".as_ref(), &attributes, &b"1"[..]).unwrap();
    let a = builder.into_inner().unwrap();
    let config = config(&[&a], "2026-01-01T00:00:00Z");
    let id = Digest::of(&config);
    let dir = tempfile::tempdir().unwrap();
    let usr = dir.path().join("usr");
    fs::create_dir_all(usr.join("images")).unwrap();
    fs::create_dir_all(usr.join("layers/base")).unwrap();
    let mut unpacked = ::tar::Archive::new(&a[..]);
    unpacked.set_preserve_permissions(true);
    unpacked.set_preserve_ownerships(true);
    unpacked.unpack(usr.join("layers/base")).unwrap();
    let file = format!("{}.json", id.hex());
    fs::write(usr.join("images").join(&file), &config).unwrap();
    let index = json!({"images": [{"names": ["coracle/c:v1"], "id": id, "config": file, "layers": ["base"]}]});
    fs::write(usr.join("images/index.json"), index.to_string()).unwrap();
    (dir, usr, (a, config))
}

fn bundled() {
    let (dir, usr, (a, config)) = bundle();
    let open = || Store::open(Some(usr.clone()), dir.path().join("data")).unwrap();
    let store = open();
    let image = store.get("coracle/c:v1").unwrap();
    assert_eq!(
        (image.bundled, content(&image)),
        (true, vec!["a".to_owned()])
    );
    assert_eq!(
        store
            .remove("coracle/c:v1", true, &[])
            .unwrap_err()
            .status(),
        409
    );
    store
        .tag("coracle/c:v1", &Reference::parse("mine").unwrap())
        .unwrap();
    drop(store);
    let store = open();
    assert_eq!(
        store.get("mine").unwrap().tags,
        ["coracle/c:v1", "mine:latest"]
    );
    // Loading the same image keeps the bundled copy, and nothing else.
    load(&store, &legacy(&config, &[&a], json!(["again:1"]))).unwrap();
    assert!(store.get("again:1").unwrap().bundled);
    assert_eq!(
        fs::read_dir(dir.path().join("data/layers"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(
        store.remove("mine", false, &[]).unwrap(),
        [Removed::Untagged("mine:latest".into())]
    );
    assert_eq!(
        store.remove("again:1", false, &[]).unwrap(),
        [Removed::Untagged("again:1".into())]
    );
    assert_eq!(store.list().len(), 1);
}

/// What a container of `image` has written in `upper` becomes the image `name`.
fn commit(store: &Store, image: &Image, upper: &Path, name: &str) -> Digest {
    let name = Reference::parse(name).unwrap();
    let commit = Commit {
        config: image.config.clone(),
        step: History {
            comment: "committed".into(),
            ..History::default()
        },
        upper,
        mount_points: &["/etc/hosts"],
        name: Some(&name),
    };
    store.commit(commit, &Direct).unwrap()
}

fn committed() {
    let a = layer(&[("a", "1"), ("gone", "")]);
    let place = place();
    let archive = legacy(
        &config(&[&a], "2026-01-01T00:00:00Z"),
        &[&a],
        json!(["x:1"]),
    );
    place.load(&archive).unwrap();
    let base = place.store.get("x:1").unwrap();
    let upper = place.dir.path().join("upper");
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("b"), "2").unwrap();
    fs::write(upper.join("etc/hosts"), "").unwrap();
    let id = commit(&place.store, &base, &upper, "y:1");
    let image = place.store.get("y:1").unwrap();
    assert_eq!(
        (&image.id, content(&image)),
        (&id, ["a", "b", "etc", "gone"].map(str::to_owned).to_vec())
    );
    assert!(!image.layers[1].join("etc/hosts").exists());
    let history = image.config.history.last().unwrap();
    assert_eq!(
        (history.comment.as_str(), history.empty_layer),
        ("committed", false)
    );
    assert_eq!(place.layers().len(), 2);
    // It can be saved and loaded as any other.
    let mut archive = Vec::new();
    place.store.save(&["y:1".to_owned()], &mut archive).unwrap();
    let other = self::place();
    other.load(&archive).unwrap();
    assert_eq!(other.store.get("y:1").unwrap().id, id);
    // Without any change there is no layer.
    fs::remove_dir_all(&upper).unwrap();
    fs::create_dir(&upper).unwrap();
    commit(&place.store, &base, &upper, "z:1");
    let image = place.store.get("z:1").unwrap();
    assert_eq!(image.layers, base.layers);
    assert!(image.config.history.last().unwrap().empty_layer);
    place.store.remove("y:1", false, &[]).unwrap();
    assert_eq!(place.layers().len(), 1);
}

fn committed_on_bundled() {
    let (dir, usr, _) = bundle();
    let open = || Store::open(Some(usr.clone()), dir.path().join("data")).unwrap();
    let store = open();
    let upper = dir.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("b"), "2").unwrap();
    let base = store.get("coracle/c:v1").unwrap();
    let id = commit(&store, &base, &upper, "mine");
    drop(store);
    let store = open();
    assert_eq!(store.problems(), [""; 0]);
    let image = store.get("mine").unwrap();
    assert_eq!(
        (&image.id, image.bundled, content(&image)),
        (&id, false, ["a", "b"].map(str::to_owned).to_vec())
    );
    let both = ["mine".to_owned(), "coracle/c:v1".to_owned()];
    let mut archive = Vec::new();
    store.save(&both, &mut archive).unwrap();
    let other = place();
    other.load(&archive).unwrap();
    for (name, id) in [("mine", &id), ("coracle/c:v1", &base.id)] {
        let loaded = other.store.get(name).unwrap();
        assert_eq!((&loaded.id, loaded.bundled), (id, false));
    }
    let mut again = Vec::new();
    other.store.save(&both, &mut again).unwrap();
    assert!(again == archive);
    fs::write(usr.join("layers/base/a"), "2").unwrap();
    let error = store.save(&both, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("the layer has changed"), "{error}");
    let removed = store.remove("mine", false, &[]).unwrap();
    assert_eq!(
        removed,
        [
            Removed::Untagged("mine:latest".into()),
            Removed::Deleted(id),
            Removed::Deleted(image.config.rootfs.diff_ids[1].clone()),
        ]
    );
    assert!(store.get("coracle/c:v1").is_ok());
}

fn saved() {
    let (a, b) = (
        layer(&[("a", "1"), ("d/e", "")]),
        layer(&[("b", "22"), ("d/.wh.e", ""), ("a", "3")]),
    );
    let (one, two) = (
        config(&[&a, &b], "2026-01-01T00:00:00Z"),
        config(&[&a], "2026-02-01T00:00:00Z"),
    );
    let place = place();
    place
        .load(&layout(&one, &[&gzip(&a), &b], json!(["x:1", "y:1"])))
        .unwrap();
    place.load(&legacy(&two, &[&a], json!(["x:2"]))).unwrap();
    for (names, expected) in [
        (vec!["x"], vec!["Loaded image: x:1", "Loaded image: x:2"]),
        (
            vec!["x:1", "y:1"],
            vec!["Loaded image: x:1", "Loaded image: y:1"],
        ),
        (vec!["x:2"], vec!["Loaded image: x:2"]),
    ] {
        let mut archive = Vec::new();
        let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
        place.store.save(&names, &mut archive).unwrap();
        let other = self::place();
        let mut lines: Vec<_> = other
            .load(&archive)
            .unwrap()
            .iter()
            .flat_map(Loaded::lines)
            .collect();
        lines.sort();
        assert_eq!(lines, expected);
        let ids = |store: &Store| {
            store
                .list()
                .into_iter()
                .map(|image| image.id)
                .collect::<Vec<_>>()
        };
        assert!(
            ids(&other.store)
                .iter()
                .all(|id| ids(&place.store).contains(id))
        );
    }
    let id = Digest::of(&two);
    let mut archive = Vec::new();
    place
        .store
        .save(&[id.short().to_owned()], &mut archive)
        .unwrap();
    assert_eq!(self::place().load(&archive).unwrap(), [Loaded::Id(id)]);
    let error = place
        .store
        .save(&["nope".to_owned()], &mut Vec::new())
        .unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.status()),
        ("No such image: nope", 404)
    );
}

/// A file that holds these bytes, to be read.
fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

fn received() {
    let (a, b) = (layer(&[("a", "1")]), layer(&[("b", "2")]));
    let config = config(&[&a, &b], "2026-01-01T00:00:00Z");
    let (id, name) = (Digest::of(&config), Reference::parse("l:5000/x:1").unwrap());
    let digest = Reference::parse(&format!("l:5000/x@{id}")).unwrap();
    let place = place();
    let incoming = place.store.receive().unwrap();
    let add = |blob: &[u8], diff_id| incoming.add_layer(file(blob), &diff_id, &Direct);
    add(&gzip(&a), Digest::of(&a)).unwrap();
    let damaged = add(&gzip(&b), Digest::of(b"other")).unwrap_err();
    assert_eq!(
        damaged.to_string(),
        format!(
            "layer is damaged: its digest is {}, expected {}",
            Digest::of(&b),
            Digest::of(b"other")
        )
    );
    // Not complete, so not there; and what was made goes.
    assert!(incoming.finish(&id, Some(&config), &[]).is_err());
    assert_eq!(place.store.list().len(), 0);
    let images = place.dir.path().join("data/images");
    assert_eq!(fs::read_dir(&images).unwrap().count(), 0);
    fs::write(incoming.spool().join("blob"), "x").unwrap();
    drop(incoming);
    assert_eq!(place.layers(), Vec::<String>::new());

    let incoming = place.store.receive().unwrap();
    assert!(!incoming.has_layer(&Digest::of(&a)));
    for bytes in [&a, &b] {
        incoming
            .add_layer(file(bytes), &Digest::of(bytes), &Direct)
            .unwrap();
    }
    let names = [name, digest];
    assert!(incoming.finish(&id, Some(&config), &names).unwrap().is_new);
    assert!(!incoming.finish(&id, None, &names).unwrap().is_new);
    drop(incoming);
    let image = place.store.get("l:5000/x:1").unwrap();
    assert_eq!(
        (image.id.clone(), image.digests),
        (id.clone(), vec![format!("l:5000/x@{id}")])
    );
    assert_eq!(place.layers().len(), 2);
    let mut files: Vec<_> = fs::read_dir(&images)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [format!("{}.json", id.hex()), "repositories.json".to_owned()]
    );
    let origin = Origin {
        repository: "l:5000/x".into(),
        digest: Digest::of(&gzip(&a)),
        size: 5,
        media_type: "t".into(),
    };
    let diff_id = Digest::of(&a);
    place
        .store
        .remember_origin(&diff_id, origin.clone())
        .unwrap();
    assert_eq!(place.store.origins(&diff_id), [origin]);
    let packed = place.dir.path().join("packed");
    let (digest, length) = place.store.pack_layer(&diff_id, &packed).unwrap();
    let bytes = fs::read(&packed).unwrap();
    assert_eq!((digest, length), (Digest::of(&bytes), bytes.len() as u64));
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut plain).unwrap();
    assert_eq!(plain, a);
}

fn held() {
    let a = layer(&[("a", "")]);
    let config = config(&[&a], "2026-01-01T00:00:00Z");
    let place = place();
    place.load(&legacy(&config, &[&a], json!(["x:1"]))).unwrap();
    let incoming = place.store.receive().unwrap();
    assert!(incoming.has_layer(&Digest::of(&a)));
    place.store.remove("x:1", false, &[]).unwrap();
    place.store.prune_layers(&[]).unwrap();
    let shown = || {
        let mut layers = place.layers();
        layers.retain(|name| !name.starts_with('.'));
        layers
    };
    assert_eq!(shown(), [Digest::of(&a).hex()]);
    drop(incoming);
    place.store.prune_layers(&[]).unwrap();
    assert_eq!(shown(), Vec::<String>::new());
}
