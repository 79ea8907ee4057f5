//! ISO 9660 (ECMA-119, clause 8): the primary volume descriptor.

use crate::filesystem::{Filesystem, Kind};
use crate::read::text;

const FIRST_DESCRIPTOR: usize = 32768;
const SECTOR: usize = 2048;
const PRIMARY: u8 = 1;

pub(crate) fn probe(head: &[u8]) -> Option<Filesystem> {
    let descriptor = head.get(FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + SECTOR)?;
    if &descriptor[1..6] != b"CD001" || descriptor[0] != PRIMARY {
        return None;
    }
    let label = text(&descriptor[40..72]);
    // Modification date, or creation date when there is none: blkid's identifier.
    let uuid = [830, 813]
        .iter()
        .find_map(|at| date(&descriptor[*at..at + 17]));
    Some(Filesystem {
        kind: Kind::Iso9660,
        label: (!label.is_empty()).then_some(label),
        uuid,
    })
}

/// `YYYYMMDDHHMMSScc` and a zone, as `YYYY-MM-DD-HH-MM-SS-cc`.
fn date(bytes: &[u8]) -> Option<String> {
    let digits = std::str::from_utf8(&bytes[..16])
        .ok()
        .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    if digits.bytes().all(|b| b == b'0') {
        return None;
    }
    let mut parts = vec![&digits[..4]];
    parts.extend((4..16).step_by(2).map(|at| &digits[at..at + 2]));
    Some(parts.join("-"))
}
