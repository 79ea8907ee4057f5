//! The `newc` archive that the kernel unpacks as its initial root (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{self, Write};

use super::tree::{Entry, Kind, SOURCE_DATE_EPOCH, Tree};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;

/// Writes a tree; inode numbers are positions, times are fixed.
pub fn write(tree: &Tree, mut writer: impl Write) -> io::Result<()> {
    let trailer = Entry::file(Vec::new(), 0);
    let entries = tree.iter().chain([("TRAILER!!!", &trailer)]);
    for (inode, (path, entry)) in entries.enumerate() {
        let last = path == "TRAILER!!!";
        let (format, content, device): (u32, &[u8], (u32, u32)) = match &entry.kind {
            Kind::Directory => (DIRECTORY, &[], (0, 0)),
            Kind::File(_) if last => (0, &[], (0, 0)),
            Kind::File(content) => (FILE, content, (0, 0)),
            Kind::Symlink(target) => (SYMLINK, target.as_bytes(), (0, 0)),
            Kind::CharDevice(major, minor) => (CHAR_DEVICE, &[], (*major, *minor)),
        };
        let number = |value: u64| {
            u32::try_from(value)
                .map_err(|_| io::Error::other(format!("{path}: does not fit into newc")))
        };
        let fields = [
            number(inode as u64)?,
            format | entry.mode,
            number(entry.uid)?,
            number(entry.gid)?,
            1,
            if last { 0 } else { number(SOURCE_DATE_EPOCH)? },
            number(content.len() as u64)?,
            0,
            0,
            device.0,
            device.1,
            number(path.len() as u64 + 1)?,
            0,
        ];
        let mut header = String::from("070701");
        for field in fields {
            header += &format!("{field:08X}");
        }
        writer.write_all(header.as_bytes())?;
        writer.write_all(path.as_bytes())?;
        pad(&mut writer, header.len() + path.len(), 1)?;
        writer.write_all(content)?;
        pad(&mut writer, content.len(), 0)?;
    }
    Ok(())
}

/// At least `least` zero bytes, up to a multiple of four.
fn pad(writer: &mut impl Write, written: usize, least: usize) -> io::Result<()> {
    let end = (written + least).next_multiple_of(4);
    writer.write_all(&[0; 4][..end - written])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_starts_at_a_multiple_of_four() {
        let mut tree = Tree::default();
        tree.insert("init", Entry::file(b"abcde".to_vec(), 0o755));
        tree.insert("bin", Entry::symlink("usr/bin"));
        let mut out = Vec::new();
        write(&tree, &mut out).expect("writing to memory");
        let starts: Vec<usize> = out
            .windows(6)
            .enumerate()
            .filter(|(_, w)| w == b"070701")
            .map(|(at, _)| at)
            .collect();
        assert_eq!(starts.len(), 3);
        assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        assert_eq!(out.len() % 4, 0);
    }

    #[test]
    fn a_header_is_what_the_kernel_document_says() {
        let mut tree = Tree::default();
        tree.insert("a", Entry::file(b"xy".to_vec(), 0o644));
        let mut out = Vec::new();
        write(&tree, &mut out).expect("writing to memory");
        let expected = concat!(
            "070701", "00000000", "000081A4", "00000000", "00000000", "00000001", "6955B900",
            "00000002", "00000000", "00000000", "00000000", "00000000", "00000002", "00000000"
        );
        assert_eq!(String::from_utf8_lossy(&out[..110]), expected);
        assert_eq!(&out[110..116], b"a\0xy\0\0");
    }
}
