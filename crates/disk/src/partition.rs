//! Partition tables: GPT (UEFI specification 2.10, chapter 5) and MBR, for `PARTLABEL=` and `PARTUUID=`.

use std::io;

use crate::ReadAt;
use crate::read::{le32, le64};
use crate::uuid::Uuid;

/// Kind of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// GUID partition table.
    Gpt,
    /// The old table in the boot sector; only its primary partitions are read.
    Mbr,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, as in `/dev/vda1`.
    pub number: u32,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// GPT name, `PARTLABEL=`.
    pub label: Option<String>,
    /// `PARTUUID=`, as `blkid(8)` prints it: for MBR the disk's signature and the number.
    pub uuid: Option<String>,
}

/// The partitions of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which kind of table.
    pub scheme: Scheme,
    /// Its partitions by number.
    pub partitions: Vec<Partition>,
}

/// Entries that a GPT may have at most here: more than the 128 of every tool, few enough to read at once.
const MAX_ENTRIES: u32 = 1024;

/// Reads the partition table of a disk with sectors of `sector` bytes, or `None` when it has none.
///
/// The checksums of GPT are not verified: the kernel does that before it makes the partitions that are looked up here.
///
/// # Errors
/// When the first sectors cannot be read.
pub fn partition_table<R: ReadAt + ?Sized>(disk: &R, sector: u64) -> io::Result<Option<Table>> {
    let Some(boot) = disk.read_all_or_none(0, 512)? else {
        return Ok(None);
    };
    if boot[510..512] != [0x55, 0xAA] {
        return Ok(None);
    }
    if let Some(header) = disk.read_all_or_none(sector, 92)?
        && header.starts_with(b"EFI PART")
    {
        return Ok(Some(Table {
            scheme: Scheme::Gpt,
            partitions: gpt(disk, &header, sector)?,
        }));
    }
    let partitions = mbr(&boot);
    Ok((!partitions.is_empty()).then_some(Table {
        scheme: Scheme::Mbr,
        partitions,
    }))
}

fn gpt<R: ReadAt + ?Sized>(disk: &R, header: &[u8], sector: u64) -> io::Result<Vec<Partition>> {
    let entries_at = le64(header, 72).saturating_mul(sector);
    let count = le32(header, 80).min(MAX_ENTRIES);
    let size = le32(header, 84);
    if !(128..=4096).contains(&size) {
        return Ok(Vec::new());
    }
    let entries = disk.read_up_to(entries_at, (count * size) as usize)?;
    Ok(entries
        .chunks_exact(size as usize)
        .zip(1..)
        .filter(|(entry, _)| entry[..16] != [0; 16])
        .map(|(entry, number)| {
            let (first, last) = (le64(entry, 32), le64(entry, 40));
            Partition {
                number,
                start: first.saturating_mul(sector),
                length: (last.saturating_sub(first) + 1).saturating_mul(sector),
                label: Some(utf16(&entry[56..128])).filter(|label| !label.is_empty()),
                uuid: Uuid::from_gpt(&entry[16..32]).map(|uuid| uuid.to_string()),
            }
        })
        .collect())
}

fn utf16(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .take_while(|unit| *unit != 0);
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn mbr(boot: &[u8]) -> Vec<Partition> {
    let signature = le32(boot, 440);
    boot[446..510]
        .chunks_exact(16)
        .zip(1..)
        // The first byte is 0x80 or 0: anything else is the boot sector of a file system.
        .filter(|(entry, _)| entry[0] & 0x7f == 0 && entry[4] != 0 && le32(entry, 12) != 0)
        .map(|(entry, number)| Partition {
            number,
            start: u64::from(le32(entry, 8)) * 512,
            length: u64::from(le32(entry, 12)) * 512,
            label: None,
            uuid: (signature != 0).then(|| format!("{signature:08x}-{number:02x}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpt_disk() -> Vec<u8> {
        let mut disk = vec![0; 64 * 1024];
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        disk[446 + 4] = 0xEE;
        disk[446 + 12] = 1;
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[512 + 72] = 2;
        disk[512 + 80] = 128;
        disk[512 + 84] = 128;
        let entry = &mut disk[1024 + 128..];
        entry[0] = 1;
        entry[16..32].copy_from_slice(&(0..16).collect::<Vec<u8>>());
        entry[32] = 40;
        entry[40] = 99;
        for (at, unit) in "state".encode_utf16().enumerate() {
            entry[56 + at * 2..58 + at * 2].copy_from_slice(&unit.to_le_bytes());
        }
        disk
    }

    #[test]
    fn gpt_names_and_identifiers() {
        let table = partition_table(&gpt_disk(), 512).unwrap().unwrap();
        let partition = Partition {
            number: 2,
            start: 40 * 512,
            length: 60 * 512,
            label: Some("state".into()),
            uuid: Some("03020100-0504-0706-0809-0a0b0c0d0e0f".into()),
        };
        assert_eq!(
            table,
            Table {
                scheme: Scheme::Gpt,
                partitions: vec![partition]
            }
        );
    }

    #[test]
    fn mbr_identifiers_come_from_the_disk_signature() {
        let mut disk = vec![0; 1024];
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        disk[440..444].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
        let entry = &mut disk[446 + 16..];
        entry[0] = 0x80;
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&2048_u32.to_le_bytes());
        entry[12..16].copy_from_slice(&100_u32.to_le_bytes());
        let partition = Partition {
            number: 2,
            start: 2048 * 512,
            length: 51200,
            label: None,
            uuid: Some("1234abcd-02".into()),
        };
        assert_eq!(
            partition_table(&disk, 512).unwrap().unwrap(),
            Table {
                scheme: Scheme::Mbr,
                partitions: vec![partition]
            }
        );
    }

    #[test]
    fn no_table_and_damaged_tables() {
        assert_eq!(partition_table(&vec![0; 4096], 512).unwrap(), None);
        assert_eq!(partition_table(&vec![0; 10], 512).unwrap(), None);
        let mut huge = gpt_disk();
        huge[512 + 84..512 + 88].copy_from_slice(&[0xff; 4]);
        huge[512 + 72..512 + 80].copy_from_slice(&[0xff; 8]);
        assert_eq!(partition_table(&huge, 512).unwrap().unwrap().partitions, []);
    }
}
