//! Images that leave the store, and that come piece by piece.

use std::fs::{self, File};
use std::io::Write as _;

use coracle_image::{Digest, Loaded, Origin, Reference, Store};
use coracle_sys::spawn::Direct;
use serde_json::json;

use crate::archives::{config, gzip, layer, layout, legacy};
use crate::place::Place;

pub fn saved() {
    let (a, b) = (
        layer(&[("a", "1"), ("d/e", "")]),
        layer(&[("b", "22"), ("d/.wh.e", ""), ("a", "3")]),
    );
    let (one, two) = (
        config(&[&a, &b], "2026-01-01T00:00:00Z"),
        config(&[&a], "2026-02-01T00:00:00Z"),
    );
    let place = Place::new();
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
        let other = Place::new();
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
    assert_eq!(Place::new().load(&archive).unwrap(), [Loaded::Id(id)]);
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

pub fn received() {
    let (a, b) = (layer(&[("a", "1")]), layer(&[("b", "2")]));
    let config = config(&[&a, &b], "2026-01-01T00:00:00Z");
    let (id, name) = (Digest::of(&config), Reference::parse("l:5000/x:1").unwrap());
    let digest = Reference::parse(&format!("l:5000/x@{id}")).unwrap();
    let place = Place::new();
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

pub fn held() {
    let a = layer(&[("a", "")]);
    let config = config(&[&a], "2026-01-01T00:00:00Z");
    let place = Place::new();
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
