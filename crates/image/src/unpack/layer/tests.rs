use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;

use rustix::fs::{fgetxattr, getxattr, major, minor};
use tar::{Builder, Header};

use super::*;
use crate::recipe::Replay;

/// An archive under construction.
struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, path: &str, mode: u32, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        // Set directly: the crate itself refuses hostile names.
        let bytes = header.as_old_mut();
        bytes.name[..path.len()].copy_from_slice(path.as_bytes());
        bytes.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(10).unwrap();
            header.set_device_minor(300).unwrap();
        }
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.add(EntryType::Regular, path, 0o644, "", content.as_bytes())
    }

    fn dir(self, path: &str) -> Self {
        self.add(EntryType::Directory, path, 0o755, "", b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, path, 0o777, target, b"")
    }

    fn hard(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Link, path, 0o644, target, b"")
    }

    fn pax(mut self, values: &[(&str, &[u8])]) -> Self {
        self.0
            .append_pax_extensions(values.iter().copied())
            .unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A place to unpack in, with something beside it that must not be touched.
struct Place {
    _dir: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
}

fn place() -> Option<Place> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    Some(Place {
        _dir: dir,
        root,
        outside,
    })
}

fn unpack(bytes: &[u8], root: &Path, expected: Option<&Digest>) -> Result<u64, Error> {
    let recipe = tempfile::tempfile().unwrap();
    let (_, size) = super::unpack(bytes, root, recipe.try_clone().unwrap(), expected)?;
    // Whatever was unpacked can be packed again; a compressed layer gives its content.
    let mut plain = Vec::new();
    compression::decoder(bytes)
        .unwrap()
        .read_to_end(&mut plain)
        .unwrap();
    let mut recipe = recipe;
    io::Seek::rewind(&mut recipe).unwrap();
    let tree = open(root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut again = Vec::new();
    let replayed = Replay::new(
        crate::recipe::open(recipe).unwrap(),
        tree,
        Digest::of(&plain),
    )
    .read_to_end(&mut again);
    // Unless a later entry took the place of an earlier file with content.
    if replayed.is_ok() {
        assert_eq!(again, plain);
    }
    Ok(size)
}

/// Unpacks and lists: path, type and permissions, link target or content.
fn unpacked(layer: Layer) -> Option<Result<Vec<String>, String>> {
    let place = place()?;
    let result = unpack(&layer.bytes()[..], &place.root, None).map_err(|error| error.to_string());
    assert_eq!(
        fs::read_to_string(place.outside.join("file")).unwrap(),
        "untouched"
    );
    assert_eq!(fs::read_dir(&place.outside).unwrap().count(), 1);
    Some(result.map(|_| {
        let mut found = Vec::new();
        list(&place.root, "", &mut found);
        found.sort();
        found
    }))
}

fn list(directory: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_string_lossy());
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        if kind.is_symlink() {
            found.push(format!(
                "{name} -> {}",
                fs::read_link(&path).unwrap().display()
            ));
        } else if kind.is_char_device() {
            found.push(format!(
                "{name} char {}:{}",
                major(metadata.rdev()),
                minor(metadata.rdev())
            ));
        } else if kind.is_dir() {
            let mut value = [0; 8];
            let opaque = getxattr(&path, "trusted.overlay.opaque", &mut value[..]).is_ok();
            found.push(format!("{name}/{}", if opaque { " opaque" } else { "" }));
            list(&path, &format!("{name}/"), found);
        } else {
            found.push(format!("{name}: {}", fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn entries_become_what_they_are() {
    let layer = Layer::new()
        .dir("./")
        .dir("./d/")
        .file("d/f", "one")
        .hard("d/h", "./d/f")
        .link("d/s", "/etc/../x")
        .file("missing/parent/f", "two")
        .add(EntryType::Char, "d/c", 0o600, "", b"")
        .add(EntryType::XGlobalHeader, "g", 0, "", b"");
    let Some(result) = unpacked(layer) else {
        return;
    };
    assert_eq!(
        result.unwrap(),
        [
            "d/",
            "d/c char 10:300",
            "d/f: one",
            "d/h: one",
            "d/s -> /etc/../x",
            "missing/",
            "missing/parent/",
            "missing/parent/f: two"
        ]
    );
}

#[test]
fn deletion_marks_become_those_of_overlayfs() {
    let layer = Layer::new()
        .dir("a")
        .file("a/.wh..wh..opq", "")
        .file("b/.wh.gone", "")
        .file(".wh.top", "")
        .file(".wh..wh.plnk", "")
        .file("c", "made")
        .file(".wh.c", "");
    let Some(result) = unpacked(layer) else {
        return;
    };
    assert_eq!(
        result.unwrap(),
        [
            "a/ opaque",
            "b/",
            "b/gone char 0:0",
            "c char 0:0",
            "top char 0:0"
        ]
    );
}

#[test]
fn later_entries_replace_earlier_ones() {
    let layer = Layer::new()
        .file("a", "old")
        .file("a", "new")
        .dir("d")
        .file("d/x", "kept")
        .dir("d")
        .dir("e/deep")
        .file("e/deep/x", "")
        .file("e", "now a file")
        .link("l", "/nowhere")
        .file("l", "now a file");
    let Some(result) = unpacked(layer) else {
        return;
    };
    assert_eq!(
        result.unwrap(),
        [
            "a: new",
            "d/",
            "d/x: kept",
            "e: now a file",
            "l: now a file"
        ]
    );
}

#[test]
fn owner_mode_time_and_attributes_are_kept() {
    let Some(place) = place() else { return };
    let layer = Layer::new()
        .pax(&[
            ("mtime", b"1234567890.25"),
            ("SCHILY.xattr.trusted.test", b"value"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/x"),
        ])
        .add(EntryType::Regular, "suid", 0o4755, "", b"x")
        .pax(&[("uid", b"70000"), ("gid", b"80000")])
        .add(EntryType::Directory, "sticky", 0o1777, "", b"")
        .file("sticky/f", "abc");
    let bytes = layer.bytes();
    assert_eq!(
        unpack(&bytes[..], &place.root, Some(&Digest::of(&bytes))).unwrap(),
        4
    );
    let suid = fs::metadata(place.root.join("suid")).unwrap();
    assert_eq!(
        (suid.mode() & 0o7777, suid.uid(), suid.gid()),
        (0o4755, 7, 8)
    );
    assert_eq!(
        (suid.mtime(), suid.mtime_nsec()),
        (1_234_567_890, 250_000_000)
    );
    let file = fs::File::open(place.root.join("suid")).unwrap();
    let mut value = [0; 16];
    assert_eq!(fgetxattr(&file, "trusted.test", &mut value[..]), Ok(5));
    assert!(fgetxattr(&file, "trusted.overlay.redirect", &mut value[..]).is_err());
    let sticky = fs::metadata(place.root.join("sticky")).unwrap();
    assert_eq!(
        (
            sticky.mode() & 0o7777,
            sticky.uid(),
            sticky.gid(),
            sticky.mtime()
        ),
        (0o1777, 70000, 80000, 1_000_000_000)
    );
}

#[test]
fn hostile_archives_cannot_leave_the_layer() {
    for (layer, expected) in [
        (
            Layer::new().file("../outside/file", "x"),
            Err("layer entry ../outside/file: a path that leaves the layer"),
        ),
        (
            Layer::new().file("a/../../outside/file", "x"),
            Err("layer entry a/../../outside/file: a path that leaves the layer"),
        ),
        (Layer::new().file("/abs", "x"), Ok(vec!["abs: x"])),
        // Through links: the kernel resolves them below the layer's root.
        (
            Layer::new().link("l", "../outside").file("l/file", "x"),
            Err("layer entry l/file: No such file or directory (os error 2)"),
        ),
        (
            Layer::new()
                .dir("outside")
                .link("l", "../outside")
                .file("l/file", "x"),
            Ok(vec!["l -> ../outside", "outside/", "outside/file: x"]),
        ),
        (
            Layer::new().dir("etc").link("l", "/etc").file("l/f", "x"),
            Ok(vec!["etc/", "etc/f: x", "l -> /etc"]),
        ),
        (
            Layer::new().link("l", "../outside/file").file("l", "x"),
            Ok(vec!["l: x"]),
        ),
        (
            Layer::new().link("l", "../outside").dir("l"),
            Ok(vec!["l/"]),
        ),
        (
            Layer::new().hard("h", "../outside/file"),
            Err("layer entry h: a path that leaves the layer"),
        ),
        (
            Layer::new().link("l", "../outside").hard("h", "l/file"),
            Err("layer entry h: a hard link to l/file, which is not in the layer"),
        ),
        (
            Layer::new().hard("h", "nothing"),
            Err("layer entry h: a hard link to nothing, which is not in the layer"),
        ),
        (
            Layer::new().file(".wh...", ""),
            Err("layer entry .wh...: a deletion mark without name"),
        ),
        (
            Layer::new().file(".wh.", ""),
            Err("layer entry .wh.: a deletion mark without name"),
        ),
        (
            Layer::new().link("l", "../outside").file("l/.wh.file", ""),
            Err("layer entry l/.wh.file: No such file or directory (os error 2)"),
        ),
        (
            Layer::new().link("a", "a").file("a/f", ""),
            Err("layer entry a/f: Too many levels of symbolic links (os error 40)"),
        ),
        (
            Layer::new().file("f", "").file("f/g", ""),
            Err("layer entry f/g: Not a directory (os error 20)"),
        ),
        (
            Layer::new().file("", "x"),
            Err("layer entry : the root of a layer must be a directory"),
        ),
        (
            Layer::new().add(EntryType::new(b'Z'), "z", 0, "", b""),
            Err("layer entry z: unknown type 'Z'"),
        ),
    ] {
        let Some(result) = unpacked(layer) else {
            return;
        };
        let expected = expected
            .map(|list| list.into_iter().map(str::to_owned).collect())
            .map_err(str::to_owned);
        assert_eq!(result, expected);
    }
}

#[test]
fn a_damaged_layer_is_refused() {
    let Some(place) = place() else { return };
    let bytes = Layer::new().file("f", "x").bytes();
    let expected = Digest::of(b"other");
    assert_eq!(
        unpack(&bytes[..], &place.root, Some(&expected))
            .unwrap_err()
            .to_string(),
        format!(
            "layer is damaged: its digest is {}, expected {expected}",
            Digest::of(&bytes)
        )
    );
    let mut flipped = bytes.clone();
    flipped[0] ^= 1;
    assert_eq!(
        unpack(&flipped[..], &place.root, None)
            .unwrap_err()
            .to_string(),
        "layer: archive header checksum mismatch"
    );
    assert!(unpack(&bytes[..700], &place.root, None).is_err());
    let gzip = [&[0x1f, 0x8b, 8, 0][..], &[9; 40]].concat();
    assert!(
        unpack(&gzip[..], &place.root, None)
            .unwrap_err()
            .to_string()
            .starts_with("layer: ")
    );
}

#[test]
fn compressed_layers_have_the_digest_of_their_content() {
    let Some(place) = place() else { return };
    let bytes = Layer::new().file("f", "x").bytes();
    let zstd = zstd::encode_all(&bytes[..], 1).unwrap();
    assert_eq!(
        unpack(&zstd[..], &place.root, Some(&Digest::of(&bytes))).unwrap(),
        1
    );
}

#[test]
fn fractions_of_seconds() {
    for (text, expected) in [
        ("5", Some((5, 0))),
        ("5.5", Some((5, 500_000_000))),
        ("5.1234567891", Some((5, 123_456_789))),
        ("-1.5", Some((-2, 500_000_000))),
        ("x", None),
        ("5.x", None),
    ] {
        assert_eq!(time(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn owners_are_numbers_that_somebody_can_have() {
    for (value, expected) in [
        (0, Ok(0)),
        (4_294_967_294, Ok(4_294_967_294)),
        (4_294_967_295, Err("owner 4294967295 is too large")),
        (4_294_967_296, Err("owner 4294967296 is too large")),
    ] {
        let found = owner(value).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    }
}
