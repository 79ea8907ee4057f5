//! Whether a path's mount takes part in propagation, as `shared` and `slave` binds need it (`mount_namespaces(7)`).

use std::path::Path;

use crate::error::{Error, Result};
use crate::record::{MountKind, MountPoint};

/// Checks that the source of a mount with shared or slave propagation can give it. `mountinfo` is the text of
/// `/proc/self/mountinfo`.
///
/// # Errors
/// Docker's texts.
pub fn check(point: &MountPoint, mountinfo: &str) -> Result<()> {
    let mode = point
        .propagation
        .strip_prefix('r')
        .unwrap_or(&point.propagation);
    if point.kind != MountKind::Bind || !matches!(mode, "shared" | "slave") {
        return Ok(());
    }
    let source = Path::new(&point.source);
    let Some((mounted_on, fields)) = holder(source, mountinfo) else {
        return Ok(());
    };
    let shared = fields.iter().any(|field| field.starts_with("shared:"));
    let slave = fields.iter().any(|field| field.starts_with("master:"));
    let wanted = match mode {
        "shared" if !shared => "a shared",
        "slave" if !shared && !slave => "a shared or slave",
        _ => return Ok(()),
    };
    Err(Error::Invalid(format!(
        "path {} is mounted on {mounted_on} but it is not {wanted} mount",
        point.source
    )))
}

/// The mount that holds `path`, with its optional fields: the deepest, and of several at one place the last.
fn holder<'a>(path: &Path, mountinfo: &'a str) -> Option<(String, Vec<&'a str>)> {
    let mut best: Option<(String, Vec<&str>)> = None;
    for line in mountinfo.lines() {
        let mut fields = line.split(' ');
        let Some(place) = fields.nth(4).map(unescape) else {
            continue;
        };
        let optional: Vec<&str> = fields.skip(1).take_while(|field| *field != "-").collect();
        let deeper = best
            .as_ref()
            .is_none_or(|(best, _)| place.len() >= best.len());
        if path.starts_with(&place) && deeper {
            best = Some((place, optional));
        }
    }
    best
}

/// The kernel writes space, tab, newline and backslash as octal numbers.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:5 / /mnt rw shared:3 - tmpfs none rw
3 1 0:6 / /with\\040space rw master:4 - tmpfs none rw
";

    #[test]
    fn propagation_needs_a_mount_that_takes_part() {
        for (source, propagation, expected) in [
            ("/tmp", "rprivate", Ok(())),
            ("/mnt/x", "shared", Ok(())),
            ("/mnt", "rslave", Ok(())),
            ("/with space/a", "slave", Ok(())),
            (
                "/with space",
                "rshared",
                Err("path /with space is mounted on /with space but it is not a shared mount"),
            ),
            (
                "/tmp",
                "rshared",
                Err("path /tmp is mounted on / but it is not a shared mount"),
            ),
            (
                "/tmp",
                "slave",
                Err("path /tmp is mounted on / but it is not a shared or slave mount"),
            ),
        ] {
            let point = MountPoint {
                source: source.into(),
                propagation: propagation.into(),
                ..MountPoint::default()
            };
            let got = check(&point, MOUNTINFO).map_err(|error| error.to_string());
            assert_eq!(
                got,
                expected.map_err(str::to_owned),
                "{source} {propagation}"
            );
        }
    }
}
