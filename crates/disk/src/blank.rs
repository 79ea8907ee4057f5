//! May a disk be formatted? (inventory A4-012)

use std::fmt;
use std::io;

use crate::{Filesystem, ReadAt, partition_table, probe};

/// How a disk that docker-machine made for boot2docker begins: it asks to be formatted.
pub const BOOT2DOCKER_MAGIC: &[u8] = b"boot2docker, please format-me";

/// Bytes that must be zero on a blank disk.
const CHECKED: usize = 1 << 20;

/// What a disk holds, as far as formatting it is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// The first MiB is zero: nothing is lost.
    Blank,
    /// It starts with [`BOOT2DOCKER_MAGIC`].
    FormatMe,
    /// A file system.
    Filesystem(Filesystem),
    /// A partition table.
    Partitioned,
    /// Data of an unknown kind.
    Unknown,
}

impl Contents {
    /// Looks at a disk. Only [`Contents::Blank`] and [`Contents::FormatMe`] may be written to.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn of<R: ReadAt + ?Sized>(disk: &R) -> io::Result<Self> {
        let start = disk.read_up_to(0, CHECKED)?;
        if start.starts_with(BOOT2DOCKER_MAGIC) {
            return Ok(Self::FormatMe);
        }
        if !start.is_empty() && start.iter().all(|byte| *byte == 0) {
            return Ok(Self::Blank);
        }
        if let Some(filesystem) = probe(disk)? {
            return Ok(Self::Filesystem(filesystem));
        }
        // The sector size only matters for reading the entries, not for seeing that there is a table.
        Ok(if partition_table(disk, 512)?.is_some() {
            Self::Partitioned
        } else {
            Self::Unknown
        })
    }

    /// Whether formatting destroys nothing.
    #[must_use]
    pub fn may_be_formatted(&self) -> bool {
        matches!(self, Self::Blank | Self::FormatMe)
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("blank"),
            Self::FormatMe => f.write_str("marked for formatting by boot2docker"),
            Self::Filesystem(filesystem) => write!(f, "{filesystem}"),
            Self::Partitioned => f.write_str("partitioned"),
            Self::Unknown => f.write_str("unknown data"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blank_and_marked_disks_may_be_formatted() {
        let mut marked = vec![0; 2 << 20];
        marked[..BOOT2DOCKER_MAGIC.len()].copy_from_slice(BOOT2DOCKER_MAGIC);
        let mut late = vec![0; 2 << 20];
        late[(1 << 20) + 1] = 1;
        let mut data = vec![0; 2 << 20];
        data[(1 << 20) - 1] = 1;
        let mut table = vec![0; 2 << 20];
        table[510..512].copy_from_slice(&[0x55, 0xAA]);
        table[446 + 4] = 0x83;
        table[446 + 12] = 9;
        let cases = [
            (vec![0; 2 << 20], "blank", true),
            (vec![0; 4096], "blank", true),
            (late, "blank", true),
            (marked, "marked for formatting by boot2docker", true),
            (data, "unknown data", false),
            (table, "partitioned", false),
            (vec![], "unknown data", false),
        ];
        for (disk, text, may) in cases {
            let contents = Contents::of(&disk).unwrap();
            assert_eq!(
                (contents.to_string().as_str(), contents.may_be_formatted()),
                (text, may)
            );
        }
    }
}
