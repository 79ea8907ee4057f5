//! ext2, ext3, ext4 (kernel: Documentation/filesystems/ext4/super.rst).

use std::io;

use crate::ReadAt;
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

/// Whether an ext file system may be mounted as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtState {
    /// Unmounted cleanly, or has a journal that mounting replays.
    Mountable,
    /// Errors were recorded, or it was not unmounted and has no journal: e2fsck first.
    NeedsCheck,
}

/// Reads the state of an ext file system; `None` when it is none.
///
/// # Errors
/// When the device cannot be read.
pub fn ext_state<R: ReadAt + ?Sized>(device: &R) -> io::Result<Option<ExtState>> {
    /// `s_state`: cleanly unmounted.
    const VALID: u16 = 1;
    /// `s_state`: errors detected.
    const ERROR: u16 = 2;
    /// `s_feature_compat`: has a journal.
    const HAS_JOURNAL: u32 = 4;
    let head = device.read_up_to(0, SUPERBLOCK + 1024)?;
    if probe(&head).is_none() {
        return Ok(None);
    }
    let sb = &head[SUPERBLOCK..];
    let state = le16(sb, 0x3A);
    let unsafe_to_mount =
        state & ERROR != 0 || state & VALID == 0 && le32(sb, 0x5C) & HAS_JOURNAL == 0;
    Ok(Some(if unsafe_to_mount {
        ExtState::NeedsCheck
    } else {
        ExtState::Mountable
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_errors_and_unclean_ends_without_journal_need_a_check() {
        for (state, compat, want) in [
            (1_u16, 4_u32, ExtState::Mountable),
            (0, 4, ExtState::Mountable),
            (1, 0, ExtState::Mountable),
            (0, 0, ExtState::NeedsCheck),
            (2, 4, ExtState::NeedsCheck),
            (3, 4, ExtState::NeedsCheck),
        ] {
            let mut image = vec![0; 4096];
            image[SUPERBLOCK + 0x38..SUPERBLOCK + 0x3A].copy_from_slice(&MAGIC.to_le_bytes());
            image[SUPERBLOCK + 0x3A..SUPERBLOCK + 0x3C].copy_from_slice(&state.to_le_bytes());
            image[SUPERBLOCK + 0x5C..SUPERBLOCK + 0x60].copy_from_slice(&compat.to_le_bytes());
            assert_eq!(ext_state(&image).unwrap(), Some(want), "{state} {compat}");
        }
        assert_eq!(ext_state(&vec![0; 4096]).unwrap(), None);
    }
}
