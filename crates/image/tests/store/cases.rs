//! What the store must do.

use std::fs;

use coracle_image::{Digest, ImageUse, Loaded, Reference, Removed, Store};
use serde_json::json;

use crate::archives::{config, gzip, layer, layout, legacy, oci, tar, xz};
use crate::place::{Place, content, load};
use crate::{bundled, committed, transfer};

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
    ("bundled_images_are_found_and_kept", bundled::bundled),
    ("saved_images_load_as_the_same", transfer::saved),
    (
        "an_image_comes_piece_by_piece_or_not_at_all",
        transfer::received,
    ),
    (
        "layers_stay_while_an_image_in_the_making_has_them",
        transfer::held,
    ),
    (
        "committed_images_share_what_they_are_made_of",
        committed::committed,
    ),
    (
        "committed_images_may_begin_with_bundled_layers",
        committed::committed_on_bundled,
    ),
];

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
        let place = Place::new();
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
    let place = Place::new();
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
    let place = Place::new();
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
    let place = Place::new();
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
    let Place { dir, store } = Place::new();
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
    let place = Place::new();
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
    let place = Place::new();
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
