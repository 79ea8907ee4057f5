//! Images made by the tools that people use, read by our own parsers.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use coracle_disk::{Contents, Filesystem, Kind, erofs_superblock, probe};
use coracle_toolbox::Toolbox;

const UUID: &str = "2f3b6a52-9d1c-4c1e-8b5a-0123456789ab";

fn toolbox() -> Toolbox {
    Toolbox::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache")).unwrap()
}

fn run(toolbox: &Toolbox, program: &str, arguments: &[&str]) {
    let mut command = toolbox.command(program).unwrap();
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn sized(directory: &Path, name: &str, mib: u64) -> PathBuf {
    let path = directory.join(name);
    File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path
}

fn filesystem(kind: Kind, label: &str, uuid: &str) -> Filesystem {
    Filesystem {
        kind,
        label: Some(label.into()),
        uuid: Some(uuid.into()),
    }
}

#[test]
fn labels_and_identifiers_of_real_images() {
    let toolbox = toolbox();
    let directory = tempfile::tempdir().unwrap();
    let d = directory.path();
    let tree = d.join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "x".repeat(10_000)).unwrap();
    let tree = tree.to_str().unwrap();

    let image = sized(d, "ext4", 8);
    run(
        &toolbox,
        "mkfs.ext4",
        &[
            "-q",
            "-L",
            "RANCHER_STATE",
            "-U",
            UUID,
            image.to_str().unwrap(),
        ],
    );
    let found = probe(&File::open(&image).unwrap()).unwrap();
    assert_eq!(found, Some(filesystem(Kind::Ext4, "RANCHER_STATE", UUID)));
    assert!(
        !Contents::of(&File::open(&image).unwrap())
            .unwrap()
            .may_be_formatted()
    );

    let image = sized(d, "ext2", 8);
    run(
        &toolbox,
        "mkfs.ext2",
        &["-q", "-U", UUID, image.to_str().unwrap()],
    );
    let found = probe(&File::open(&image).unwrap()).unwrap();
    assert_eq!(
        found,
        Some(Filesystem {
            kind: Kind::Ext4,
            label: None,
            uuid: Some(UUID.into())
        })
    );

    let image = d.join("erofs");
    run(
        &toolbox,
        "mkfs.erofs",
        &[
            "-L",
            "CORACLE",
            "-U",
            UUID,
            "-zlz4",
            image.to_str().unwrap(),
            tree,
        ],
    );
    let found = probe(&File::open(&image).unwrap()).unwrap();
    assert_eq!(found, Some(filesystem(Kind::Erofs, "CORACLE", UUID)));
    let superblock = erofs_superblock(&File::open(&image).unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(superblock.size, fs::metadata(&image).unwrap().len());

    for (bits, mib) in [("12", 4), ("16", 16), ("32", 64)] {
        let image = sized(d, &format!("fat{bits}"), mib);
        run(
            &toolbox,
            "mkfs.vfat",
            &[
                "-F",
                bits,
                "-n",
                "CIDATA",
                "-i",
                "1234abcd",
                image.to_str().unwrap(),
            ],
        );
        let found = probe(&File::open(&image).unwrap()).unwrap();
        assert_eq!(
            found,
            Some(filesystem(Kind::Vfat, "CIDATA", "1234-ABCD")),
            "FAT{bits}"
        );
        // The label in the root directory wins over the one in the boot sector.
        run(
            &toolbox,
            "mlabel",
            &["-i", image.to_str().unwrap(), "::CONFIG-2"],
        );
        let found = probe(&File::open(&image).unwrap()).unwrap().unwrap();
        assert!(found.has_label("config-2"), "FAT{bits}: {found}");
    }

    let image = d.join("iso");
    let arguments = [
        "-as",
        "mkisofs",
        "-quiet",
        "-J",
        "-R",
        "-V",
        "config-2",
        "--modification-date=2024010203040500",
        "-o",
    ];
    run(
        &toolbox,
        "xorriso",
        &[&arguments[..], &[image.to_str().unwrap(), tree]].concat(),
    );
    let found = probe(&File::open(&image).unwrap()).unwrap();
    assert_eq!(
        found,
        Some(filesystem(
            Kind::Iso9660,
            "config-2",
            "2024-01-02-03-04-05-00"
        ))
    );
}
