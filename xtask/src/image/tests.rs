//! What `images/` says about optional images, held against each other.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::definition::{Defaults, Definition, read_yaml};
use crate::workspace;

fn service(name: &str) -> Value {
    let path = format!("images/services/{}/{name}.yml", &name[..1]);
    let file: Value = read_yaml(&workspace::root().join(path)).expect("a service definition");
    file[name].clone()
}

#[test]
fn every_optional_image_is_that_of_a_service_in_the_catalogue() {
    let images = workspace::root().join("images");
    let index: Value = read_yaml(&images.join("services/index.yml")).expect("the catalogue");
    let offered = index["services"].as_array().expect("a list of services");
    let defaults = Defaults::read(&images).expect("images/defaults.yml");
    let optional = Definition::optional(&images, &defaults).expect("definitions");
    assert!(!optional.is_empty());
    for (name, definition) in optional {
        assert!(offered.contains(&name.as_str().into()), "{name}");
        assert_eq!(
            service(&name)["image"],
            format!("{}:${{VERSION}}", definition.image)
        );
    }
}

#[test]
fn a_folder_that_is_neither_listed_nor_optional_is_an_error() {
    let images = tempfile::tempdir().expect("a directory");
    let defaults = Defaults {
        drop: Vec::new(),
        layers: vec!["base".into()],
    };
    for (folder, text, expected) in [
        ("base", "{image: a/base}", Ok(vec![])),
        ("z", "{image: a/z, optional: true}", Ok(vec!["z"])),
        ("c", "{image: a/c, optional: true}", Ok(vec!["c", "z"])),
        (
            "lost",
            "{image: a/lost}",
            Err("images/lost is not in the list of images/defaults.yml, and not optional"),
        ),
    ] {
        let folder = images.path().join(folder);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("image.yml"), text).expect("a definition");
        let found = Definition::optional(images.path(), &defaults).map_err(|e| e.to_string());
        let names = found.map(|found| found.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        let expected = expected
            .map(|names| names.into_iter().map(str::to_owned).collect())
            .map_err(str::to_owned);
        assert_eq!(names, expected);
    }
}

/// A step, what happens before the script runs, and whether the script has to copy then.
type Step = (&'static str, fn(&Path), bool);

#[test]
fn plugins_are_copied_only_when_they_changed() {
    let steps: &[Step] = &[
        ("the first time", |_| {}, true),
        ("again", |_| {}, false),
        (
            "the copy is gone",
            |dir| fs::remove_file(dir.join("copies/docker-x")).expect("remove"),
            true,
        ),
        (
            "an attempt was cut off",
            |dir| {
                let plugin = dir.join("copies/docker-x");
                fs::rename(plugin, dir.join("copies/.docker-x.new")).expect("rename");
                let part = dir.join("copies/.docker-x.new");
                fs::set_permissions(part, PermissionsExt::from_mode(0o600)).expect("chmod");
            },
            true,
        ),
        (
            "the copy was not finished with its stamp",
            |dir| fs::remove_file(dir.join("copies/.docker-x.stamp")).expect("remove"),
            true,
        ),
        (
            "another image, of the same size and time",
            |dir| {
                plugin(&dir.join("new"), "two");
                fs::rename(dir.join("new"), dir.join("image/docker-x")).expect("rename");
            },
            true,
        ),
        ("in the end", |_| {}, false),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    for name in ["image", "copies"] {
        fs::create_dir(dir.join(name)).expect("a directory");
    }
    plugin(&dir.join("image/docker-x"), "one");
    let command = service("docker-compose")["command"].clone();
    let script = command[2].as_str().expect("a script").replace("$$", "$");
    let script = script
        .replace("/var/lib/rancher/engine-plugins", "copies")
        .replace("/engine-plugins/", &format!("{}/image/", dir.display()));
    let copy = dir.join("copies/docker-x");
    for (name, before, copied) in steps {
        before(dir);
        let earlier = fs::metadata(&copy).ok().map(|meta| meta.ino());
        let status = Command::new("sh")
            .args(["-ec", &script])
            .current_dir(dir)
            .status();
        assert!(status.expect("sh runs").success(), "{name}");
        let meta = fs::metadata(&copy).expect(name);
        assert_eq!(meta.mode() & 0o7777, 0o755, "{name}");
        assert_eq!(
            fs::read(&copy).expect(name),
            fs::read(dir.join("image/docker-x")).expect(name),
            "{name}"
        );
        assert_eq!(earlier != Some(meta.ino()), *copied, "{name}");
        assert!(!dir.join("copies/.docker-x.new").exists(), "{name}");
    }
}

/// A plugin as in the image: all files have the same time of last change.
fn plugin(path: &Path, content: &str) {
    fs::write(path, content).expect("write");
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("chmod");
    let file = fs::File::options().append(true).open(path).expect("open");
    file.set_modified(std::time::UNIX_EPOCH).expect("set time");
}
