//! File systems and containers of which only the names matter.

use crate::ReadAt;
use crate::filesystem::{Filesystem, Kind};
use crate::read::{le32, text};
use crate::uuid::Uuid;

/// Where a magic is, what it is, and where label and UUID are.
struct Signature {
    kind: Kind,
    magic_at: usize,
    magic: &'static [u8],
    /// Offset and length.
    label: Option<(usize, usize)>,
    uuid: Option<Identifier>,
}

enum Identifier {
    /// 16 bytes at this offset.
    Binary(usize),
    /// 40 bytes of text at this offset.
    Text(usize),
}

const SIGNATURES: &[Signature] = &[
    Signature {
        kind: Kind::Xfs,
        magic_at: 0,
        magic: b"XFSB",
        label: Some((108, 12)),
        uuid: Some(Identifier::Binary(32)),
    },
    Signature {
        kind: Kind::Squashfs,
        magic_at: 0,
        magic: b"hsqs",
        label: None,
        uuid: None,
    },
    Signature {
        kind: Kind::Ntfs,
        magic_at: 3,
        magic: b"NTFS    ",
        label: None,
        uuid: None,
    },
    Signature {
        kind: Kind::Swap,
        magic_at: 4086,
        magic: b"SWAPSPACE2",
        label: Some((1052, 16)),
        uuid: Some(Identifier::Binary(1036)),
    },
    // LUKS 2 has a label, LUKS 1 the name of its hash function in the same place.
    Signature {
        kind: Kind::Luks,
        magic_at: 0,
        magic: b"LUKS\xba\xbe\x00\x02",
        label: Some((24, 48)),
        uuid: Some(Identifier::Text(168)),
    },
    Signature {
        kind: Kind::Luks,
        magic_at: 0,
        magic: b"LUKS\xba\xbe",
        label: None,
        uuid: Some(Identifier::Text(168)),
    },
    Signature {
        kind: Kind::Lvm,
        magic_at: 512 + 24,
        magic: b"LVM2 001",
        label: None,
        uuid: None,
    },
    Signature {
        kind: Kind::Raid,
        magic_at: 0,
        magic: b"\xfc\x4e\x2b\xa9",
        label: Some((32, 32)),
        uuid: Some(Identifier::Binary(16)),
    },
    Signature {
        kind: Kind::Raid,
        magic_at: 4096,
        magic: b"\xfc\x4e\x2b\xa9",
        label: Some((4128, 32)),
        uuid: Some(Identifier::Binary(4112)),
    },
];

const BTRFS_SUPERBLOCK: u64 = 65536;

pub(crate) fn probe<R: ReadAt + ?Sized>(head: &[u8], device: &R) -> Option<Filesystem> {
    let found = SIGNATURES.iter().find(|s| {
        head.get(s.magic_at..)
            .is_some_and(|rest| rest.starts_with(s.magic))
    });
    let Some(signature) = found else {
        return btrfs(device);
    };
    // The array's feature and version words come after the magic; version 1 is the one with these offsets.
    if signature.kind == Kind::Raid && le32(head, signature.magic_at + 4) != 1 {
        return None;
    }
    let label = signature
        .label
        .and_then(|(at, length)| head.get(at..at + length))
        .map(text);
    let uuid = match signature.uuid {
        Some(Identifier::Binary(at)) => head
            .get(at..at + 16)
            .and_then(Uuid::from_bytes)
            .map(|uuid| uuid.to_string()),
        Some(Identifier::Text(at)) => head.get(at..at + 40).map(text),
        None => None,
    };
    Some(Filesystem {
        kind: signature.kind,
        label: non_empty(label),
        uuid: non_empty(uuid),
    })
}

/// The superblock is far from the start, so it is read on its own (kernel: include/uapi/linux/btrfs_tree.h).
fn btrfs<R: ReadAt + ?Sized>(device: &R) -> Option<Filesystem> {
    let sb = device.read_all_or_none(BTRFS_SUPERBLOCK, 4096).ok()??;
    if !sb[64..].starts_with(b"_BHRfS_M") {
        return None;
    }
    Some(Filesystem {
        kind: Kind::Btrfs,
        label: non_empty(Some(text(&sb[299..299 + 256]))),
        uuid: Uuid::from_bytes(&sb[32..48]).map(|uuid| uuid.to_string()),
    })
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::{Filesystem, Kind, probe};

    fn image(length: usize, pieces: &[(usize, &[u8])]) -> Vec<u8> {
        let mut image = vec![0; length];
        for (at, bytes) in pieces {
            image[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        image
    }

    #[test]
    fn superblocks_by_offset() {
        let id = [0x11; 16];
        let uuid = Some("11111111-1111-1111-1111-111111111111");
        type Case<'a> = (Vec<u8>, Kind, Option<&'a str>, Option<&'a str>);
        let cases: [Case; 8] = [
            (
                image(4096, &[(0, b"XFSB"), (32, &id), (108, b"data")]),
                Kind::Xfs,
                Some("data"),
                uuid,
            ),
            (image(4096, &[(0, b"hsqs")]), Kind::Squashfs, None, None),
            (
                image(8192, &[(4086, b"SWAPSPACE2"), (1036, &id), (1052, b"swap")]),
                Kind::Swap,
                Some("swap"),
                uuid,
            ),
            (
                image(
                    4096,
                    &[(0, b"LUKS\xba\xbe\x00\x02"), (24, b"vault"), (168, b"u-1")],
                ),
                Kind::Luks,
                Some("vault"),
                Some("u-1"),
            ),
            (
                image(4096, &[(0, b"LUKS\xba\xbe\x00\x01"), (168, b"u-1")]),
                Kind::Luks,
                None,
                Some("u-1"),
            ),
            (image(4096, &[(536, b"LVM2 001")]), Kind::Lvm, None, None),
            (
                image(
                    8192,
                    &[
                        (4096, b"\xfc\x4e\x2b\xa9\x01"),
                        (4112, &id),
                        (4128, b"host:0"),
                    ],
                ),
                Kind::Raid,
                Some("host:0"),
                uuid,
            ),
            (
                image(
                    70_000,
                    &[
                        (65536 + 64, b"_BHRfS_M"),
                        (65536 + 32, &id),
                        (65536 + 299, b"pool"),
                    ],
                ),
                Kind::Btrfs,
                Some("pool"),
                uuid,
            ),
        ];
        for (image, kind, label, uuid) in cases {
            let want = Filesystem {
                kind,
                label: label.map(str::to_owned),
                uuid: uuid.map(str::to_owned),
            };
            assert_eq!(probe(&image).unwrap(), Some(want));
        }
    }
}
