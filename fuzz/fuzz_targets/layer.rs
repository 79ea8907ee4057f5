//! Hostile layers: nothing is written outside the directory, nothing panics.
#![no_main]

use std::fs::{self, File};
use std::path::Path;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tar::{Builder, EntryType, Header};

const CANARY: &str = "untouched";

#[derive(Arbitrary, Debug)]
struct Layer {
    entries: Vec<Entry>,
    /// Bytes of the finished archive that are changed: place and value.
    damage: Vec<(u16, u8)>,
    cut: Option<u16>,
}

#[derive(Arbitrary, Debug)]
struct Entry {
    kind: u8,
    path: Vec<Part>,
    link: Vec<Part>,
    content: Vec<u8>,
    mode: u32,
    uid: u64,
    device: (u32, u32),
    absolute: bool,
}

/// Names that meet each other, and those that lead out.
#[derive(Arbitrary, Debug)]
enum Part {
    A,
    B,
    Up,
    Dot,
    Outside,
    Opaque,
    DeletedA,
    Deleted,
    Long,
    Odd(u8),
}

fn text(parts: &[Part], absolute: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, part) in parts.iter().take(12).enumerate() {
        if number > 0 || absolute {
            out.push(b'/');
        }
        match part {
            Part::A => out.push(b'a'),
            Part::B => out.push(b'b'),
            Part::Up => out.extend(b".."),
            Part::Dot => out.push(b'.'),
            Part::Outside => out.extend(b"../outside"),
            Part::Opaque => out.extend(b".wh..wh..opq"),
            Part::DeletedA => out.extend(b".wh.a"),
            Part::Deleted => out.extend(b".wh."),
            Part::Long => out.extend([b'l'; 300]),
            Part::Odd(byte) => out.push(*byte),
        }
    }
    out
}

fn archive(layer: &Layer) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for entry in layer.entries.iter().take(24) {
        let kinds = [
            EntryType::Regular, EntryType::Directory, EntryType::Symlink, EntryType::Link, EntryType::Fifo, EntryType::Char,
            EntryType::Block, EntryType::Continuous, EntryType::GNUSparse, EntryType::GNULongName, EntryType::GNULongLink,
            EntryType::XHeader, EntryType::XGlobalHeader,
        ];
        let kind = kinds[usize::from(entry.kind) % kinds.len()];
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(entry.mode);
        header.set_uid(entry.uid);
        header.set_gid(entry.uid);
        header.set_mtime(entry.uid);
        let _ = header.set_device_major(entry.device.0);
        let _ = header.set_device_minor(entry.device.1);
        let (path, link) = (text(&entry.path, entry.absolute), text(&entry.link, entry.absolute));
        // As the format has them: the builder would refuse those that lead out.
        if let Some(gnu) = header.as_gnu_mut() {
            for (field, value) in [(&mut gnu.name[..], &path), (&mut gnu.linkname[..], &link)] {
                let length = value.len().min(field.len());
                field[..length].copy_from_slice(&value[..length]);
            }
        }
        let is_meta = matches!(kind, EntryType::XHeader | EntryType::XGlobalHeader);
        let content = if is_meta { pax(&path, &link, &entry.content) } else { entry.content.clone() };
        header.set_size(content.len() as u64);
        header.set_cksum();
        let _ = builder.append(&header, &content[..]);
    }
    let mut bytes = builder.into_inner().unwrap_or_default();
    for (at, value) in &layer.damage {
        if let Some(byte) = bytes.get_mut(usize::from(*at)) {
            *byte = *value;
        }
    }
    if let Some(cut) = layer.cut {
        bytes.truncate(usize::from(cut));
    }
    bytes
}

/// Records of an extended header (pax).
fn pax(path: &[u8], link: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in [("path", path), ("linkpath", link), ("SCHILY.xattr.user.a", value), ("size", value)] {
        let mut length = key.len() + value.len() + 4;
        while length.to_string().len() + key.len() + value.len() + 3 != length {
            length += 1;
        }
        out.extend(format!("{length} {key}=").into_bytes());
        out.extend(value);
        out.push(b'\n');
    }
    out
}

fuzz_target!(|layer: Layer| {
    let base = tempfile::tempdir().expect("a directory");
    let (root, outside) = (base.path().join("root"), base.path().join("outside"));
    fs::create_dir(&root).expect("a directory");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("canary"), CANARY).expect("a file");
    let recipe = File::create(base.path().join("recipe")).expect("a file");
    let _ = coracle_image::fuzzing::unpack_layer(&archive(&layer), &root, recipe);
    assert_eq!(names(base.path()), ["outside", "recipe", "root"]);
    assert_eq!(names(&outside), ["canary"]);
    assert_eq!(fs::read(outside.join("canary")).expect("a file"), CANARY.as_bytes());
});

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
