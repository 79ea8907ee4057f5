//! Archives of `docker save`, and layers as raw bytes.
#![no_main]

use std::fs::File;

use libfuzzer_sys::fuzz_target;
use tar::{Builder, EntryType, Header};

/// The pieces of the input are separated by this; each is the content of an entry.
const SEPARATOR: u8 = 0xfe;

fuzz_target!(|bytes: &[u8]| {
    let base = tempfile::tempdir().expect("a directory");
    // As it is, and as the contents of the files of an archive that is well made.
    let _ = coracle_image::fuzzing::read_archive(bytes, &base.path().join("raw"));
    let mut builder = Builder::new(Vec::new());
    let names = match bytes.len() % 2 {
        0 => ["manifest.json", "config.json", "layer.tar", "link", "../x"],
        _ => ["index.json", "oci-layout", "blobs/sha256/x", "link", "config.json"],
    };
    for (number, content) in bytes.split(|byte| *byte == SEPARATOR).take(8).enumerate() {
        let mut header = Header::new_gnu();
        let name = names[number % names.len()];
        header.as_gnu_mut().expect("it is").name[..name.len()].copy_from_slice(name.as_bytes());
        if name == "link" {
            header.set_entry_type(EntryType::Symlink);
            let _ = header.set_link_name_literal(content.split(|byte| *byte == 0).next().unwrap_or_default());
        }
        header.set_size(if name == "link" { 0 } else { content.len() as u64 });
        header.set_cksum();
        let _ = builder.append(&header, if name == "link" { &[][..] } else { content });
    }
    let archive = builder.into_inner().expect("memory");
    let _ = coracle_image::fuzzing::read_archive(&archive, &base.path().join("made"));
    let root = base.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let recipe = File::create(base.path().join("recipe")).expect("a file");
    let _ = coracle_image::fuzzing::unpack_layer(bytes, &root, recipe);
});
