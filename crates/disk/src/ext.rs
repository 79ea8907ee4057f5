//! ext2, ext3, ext4 (kernel: Documentation/filesystems/ext4/super.rst).

use crate::filesystem::{Filesystem, Kind};
use crate::read::{le16, le32, text};
use crate::uuid::Uuid;

const SUPERBLOCK: usize = 1024;
const MAGIC: u16 = 0xEF53;
/// `s_feature_incompat`: an external journal, not a file system.
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;

pub(crate) fn probe(head: &[u8]) -> Option<Filesystem> {
    let sb = head.get(SUPERBLOCK..SUPERBLOCK + 1024)?;
    if le16(sb, 0x38) != MAGIC || le32(sb, 0x60) & INCOMPAT_JOURNAL_DEV != 0 {
        return None;
    }
    let label = text(&sb[0x78..0x88]);
    Some(Filesystem {
        kind: Kind::Ext4,
        label: (!label.is_empty()).then_some(label),
        uuid: Uuid::from_bytes(&sb[0x68..0x78]).map(|uuid| uuid.to_string()),
    })
}
