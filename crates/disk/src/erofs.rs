//! EROFS (kernel: fs/erofs/erofs_fs.h, `struct erofs_super_block`).

use std::io;

use crate::ReadAt;
use crate::filesystem::{Filesystem, Kind};
use crate::read::{le32, text};
use crate::uuid::Uuid;

const SUPERBLOCK: usize = 1024;
const MAGIC: u32 = 0xE0F5_E1E2;

/// The parts of an EROFS superblock that tell whether an image is whole and the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErofsSuperblock {
    /// Its UUID.
    pub uuid: Option<String>,
    /// Volume name.
    pub label: String,
    /// Size of the image in bytes: a shorter file or device is truncated.
    pub size: u64,
}

/// Reads the superblock of an image, or `None` when there is none.
///
/// # Errors
/// When it cannot be read.
pub fn erofs_superblock<R: ReadAt + ?Sized>(image: &R) -> io::Result<Option<ErofsSuperblock>> {
    Ok(parse(&image.read_up_to(0, SUPERBLOCK + 128)?))
}

pub(crate) fn probe(head: &[u8]) -> Option<Filesystem> {
    let sb = parse(head)?;
    Some(Filesystem {
        kind: Kind::Erofs,
        label: (!sb.label.is_empty()).then_some(sb.label),
        uuid: sb.uuid,
    })
}

fn parse(head: &[u8]) -> Option<ErofsSuperblock> {
    let sb = head.get(SUPERBLOCK..SUPERBLOCK + 128)?;
    let block_bits = u32::from(sb[12]);
    if le32(sb, 0) != MAGIC || !(9..=16).contains(&block_bits) {
        return None;
    }
    Some(ErofsSuperblock {
        uuid: Uuid::from_bytes(&sb[48..64]).map(|uuid| uuid.to_string()),
        label: text(&sb[64..80]),
        size: u64::from(le32(sb, 36)) << block_bits,
    })
}
