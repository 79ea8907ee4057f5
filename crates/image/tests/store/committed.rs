//! Images made of what containers have written.

use std::fs;
use std::path::Path;

use coracle_image::config::History;
use coracle_image::{Commit, Digest, Image, Reference, Removed, Store};
use coracle_sys::spawn::Direct;
use serde_json::json;

use crate::archives::{config, layer, legacy};
use crate::bundled::bundle;
use crate::place::{Place, content};

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

pub fn committed() {
    let a = layer(&[("a", "1"), ("gone", "")]);
    let place = Place::new();
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
    let other = Place::new();
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

pub fn committed_on_bundled() {
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
    let other = Place::new();
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
