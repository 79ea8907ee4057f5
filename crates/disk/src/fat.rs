//! FAT12, FAT16, FAT32 (Microsoft's FAT specification 1.03).

use crate::ReadAt;
use crate::filesystem::{Filesystem, Kind};
use crate::read::{le16, le32, text};

/// Attribute of the root directory entry that holds the label.
const VOLUME_LABEL: u8 = 0x08;
/// Attributes of a part of a long name, which also has the bit above.
const LONG_NAME: u8 = 0x0f;

pub(crate) fn probe<R: ReadAt + ?Sized>(head: &[u8], device: &R) -> Option<Filesystem> {
    let boot = head.get(..512)?;
    if boot[510..512] != [0x55, 0xAA] || !(boot[0] == 0xEB || boot[0] == 0xE9) {
        return None;
    }
    let sector = u64::from(le16(boot, 11));
    let cluster_sectors = u64::from(boot[13]);
    let reserved = u64::from(le16(boot, 14));
    let fats = u64::from(boot[16]);
    let valid = matches!(sector, 512 | 1024 | 2048 | 4096)
        && cluster_sectors.is_power_of_two()
        && reserved > 0
        && (1..=2).contains(&fats);
    if !valid {
        return None;
    }
    let root_entries = u64::from(le16(boot, 17));
    let fat16_sectors = u64::from(le16(boot, 22));
    let is_fat32 = fat16_sectors == 0;
    let (fat_sectors, id_at, label_at, type_at) = if is_fat32 {
        (u64::from(le32(boot, 36)), 67, 71, 82)
    } else {
        (fat16_sectors, 39, 43, 54)
    };
    if fat_sectors == 0 || !boot[type_at..].starts_with(b"FAT") {
        return None;
    }
    let data = (reserved + fats * fat_sectors) * sector;
    let (root, root_length) = if is_fat32 {
        let cluster = u64::from(le32(boot, 44)).saturating_sub(2);
        (
            data + cluster * cluster_sectors * sector,
            cluster_sectors * sector,
        )
    } else {
        (data, root_entries * 32)
    };
    // Only the first cluster of the directory: tools put the label first.
    let directory = device
        .read_up_to(
            root,
            usize::try_from(root_length).unwrap_or(0).min(128 * 1024),
        )
        .unwrap_or_default();
    let label = label_in(&directory)
        .or_else(|| Some(text(&boot[label_at..label_at + 11])))
        .filter(|l| !l.is_empty() && l != "NO NAME");
    let id = le32(boot, id_at);
    Some(Filesystem {
        kind: Kind::Vfat,
        label,
        uuid: (id != 0).then(|| format!("{:04X}-{:04X}", id >> 16, id & 0xffff)),
    })
}

fn label_in(directory: &[u8]) -> Option<String> {
    directory
        .chunks_exact(32)
        .take_while(|entry| entry[0] != 0)
        .find(|entry| {
            entry[0] != 0xE5 && entry[11] & LONG_NAME != LONG_NAME && entry[11] & VOLUME_LABEL != 0
        })
        .map(|entry| text(&entry[..11]))
}
