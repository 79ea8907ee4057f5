//! Images that are part of the operating system.

use std::fs;
use std::path::PathBuf;

use coracle_image::bundle::layer::{Attributes, Kind, append};
use coracle_image::{Digest, Reference, Removed, Store};
use serde_json::json;
use tempfile::TempDir;

use crate::archives::{config, legacy};
use crate::place::{content, load};

/// A bundled image with one layer: directory of everything, the bundle's root, and layer and configuration.
pub fn bundle() -> (TempDir, PathBuf, (Vec<u8>, Vec<u8>)) {
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

pub fn bundled() {
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
