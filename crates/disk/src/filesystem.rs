//! What a device holds.

use std::fmt;
use std::io;

use crate::{ReadAt, erofs, ext, fat, iso9660, other};

/// A kind of contents that is recognised by its superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// ext2, ext3 or ext4: one driver serves all.
    Ext4,
    /// Read-only, compressed.
    Erofs,
    /// CD-ROM.
    Iso9660,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// Read-only, compressed.
    Squashfs,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// NTFS.
    Ntfs,
    /// Swap space.
    Swap,
    /// LUKS: encrypted, needs a key first.
    Luks,
    /// Physical volume of LVM.
    Lvm,
    /// Member of a software RAID (metadata 1.1 or 1.2).
    Raid,
}

impl Kind {
    /// The name that `mount(2)` and `/proc/filesystems` use; for kinds that cannot be mounted the one of `blkid(8)`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Erofs => "erofs",
            Self::Iso9660 => "iso9660",
            Self::Vfat => "vfat",
            Self::Squashfs => "squashfs",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Ntfs => "ntfs3",
            Self::Swap => "swap",
            Self::Luks => "crypto_LUKS",
            Self::Lvm => "LVM2_member",
            Self::Raid => "linux_raid_member",
        }
    }

    /// The kernel module that has its driver, when it is mounted.
    #[must_use]
    pub fn module(self) -> &'static str {
        match self {
            Self::Iso9660 => "isofs",
            other => other.name(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A file system and its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// What it is.
    pub kind: Kind,
    /// Its label, when it has one.
    pub label: Option<String>,
    /// Its identifier as `blkid(8)` prints it: a UUID, or `1234-ABCD` for FAT, or a date for ISO 9660.
    pub uuid: Option<String>,
}

impl Filesystem {
    /// Whether it carries this label. FAT's labels are compared without case, because tools disagree about theirs.
    #[must_use]
    pub fn has_label(&self, label: &str) -> bool {
        self.label.as_deref().is_some_and(|own| match self.kind {
            Kind::Vfat => own.eq_ignore_ascii_case(label),
            _ => own == label,
        })
    }

    /// Whether it has this identifier, in any case of letters.
    #[must_use]
    pub fn has_uuid(&self, uuid: &str) -> bool {
        self.uuid
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(uuid))
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(label) = &self.label {
            write!(f, " LABEL={label}")?;
        }
        if let Some(uuid) = &self.uuid {
            write!(f, " UUID={uuid}")?;
        }
        Ok(())
    }
}

/// What `device` holds, or `None` when nothing is recognised.
///
/// # Errors
/// When the device cannot be read at all. A read error beyond the first 64 KiB means that nothing is found there.
pub fn probe<R: ReadAt + ?Sized>(device: &R) -> io::Result<Option<Filesystem>> {
    // One read serves all but iso9660's descriptor list, FAT's root directory and btrfs.
    let head = device.read_up_to(0, 0x9000)?;
    Ok(ext::probe(&head)
        .or_else(|| erofs::probe(&head))
        .or_else(|| iso9660::probe(&head))
        .or_else(|| other::probe(&head, device))
        .or_else(|| fat::probe(&head, device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_recognised_in_nothing() {
        for length in [0, 1, 511, 4096, 0x9000, 0x20000] {
            assert_eq!(probe(&vec![0_u8; length]).unwrap(), None);
            assert_eq!(probe(&vec![0xff_u8; length]).unwrap(), None);
        }
    }

    #[test]
    fn labels_of_fat_have_no_case() {
        let vfat = Filesystem {
            kind: Kind::Vfat,
            label: Some("CIDATA".into()),
            uuid: Some("ABCD-0123".into()),
        };
        let ext4 = Filesystem {
            kind: Kind::Ext4,
            label: Some("CIDATA".into()),
            uuid: None,
        };
        assert_eq!(
            (
                vfat.has_label("cidata"),
                ext4.has_label("cidata"),
                ext4.has_label("CIDATA")
            ),
            (true, false, true)
        );
        assert!(vfat.has_uuid("abcd-0123"));
        assert_eq!(vfat.to_string(), "vfat LABEL=CIDATA UUID=ABCD-0123");
    }
}
