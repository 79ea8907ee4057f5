//! `write_files` of cloud-config (inventory B2-003 to B2-009).

use std::io::Read;
use std::path::Path;

use base64::Engine;
use coracle_config::WriteFile;

use crate::account::{self, Ids};
use crate::error::Error;
use crate::file;

/// Whether `entry` is for the container called `container`; without a name it is for the console.
pub fn is_for(entry: &WriteFile, container: &str) -> bool {
    match entry.container.as_str() {
        "" => container == "console",
        name => name == container,
    }
}

/// Writes one file below `root`.
///
/// # Errors
/// The entry is wrong (its key is named), its owner does not exist, or the file cannot be written.
pub fn write(root: &Path, entry: &WriteFile) -> Result<(), Error> {
    let content = decode(entry)?;
    let mode = mode(entry)?;
    let owner = match entry.owner.as_str() {
        "" | "root" | "root:root" => Ids { uid: 0, gid: 0 },
        owner => account::owner(root, owner)?,
    };
    if !entry.path.starts_with('/') {
        return Err(fault(entry, "path", "is not absolute".to_owned()));
    }
    let path = account::below(root, Path::new(&entry.path));
    file::replace(&path, &content, mode, Some(owner))
}

fn fault(entry: &WriteFile, key: &str, message: String) -> Error {
    Error::Config {
        key: format!("write_files[{:?}].{key}", entry.path),
        message,
    }
}

fn decode(entry: &WriteFile) -> Result<Vec<u8>, Error> {
    let mut content = entry.content.clone().into_bytes();
    // "gz+base64" is base64 around gzip: the last word comes off first.
    for step in entry.encoding.rsplit('+').filter(|step| !step.is_empty()) {
        content = match step {
            "b64" | "base64" => {
                content.retain(|byte| !byte.is_ascii_whitespace());
                base64::engine::general_purpose::STANDARD
                    .decode(&content)
                    .map_err(|error| fault(entry, "content", format!("is not base64: {error}")))?
            }
            "gz" | "gzip" => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(content.as_slice())
                    .read_to_end(&mut plain)
                    .map_err(|error| fault(entry, "content", format!("is not gzip: {error}")))?;
                plain
            }
            other => {
                let message = format!("{other:?} is none of b64, base64, gz, gzip");
                return Err(fault(entry, "encoding", message));
            }
        };
    }
    Ok(content)
}

fn mode(entry: &WriteFile) -> Result<u32, Error> {
    let text = entry.permissions.trim();
    if text.is_empty() {
        return Ok(0o644);
    }
    let octal = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(octal, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(fault(
            entry,
            "permissions",
            format!("{text:?} is not an octal mode such as 0644"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str, encoding: &str, permissions: &str) -> WriteFile {
        WriteFile {
            path: "/a/b".to_owned(),
            content: content.to_owned(),
            encoding: encoding.to_owned(),
            permissions: permissions.to_owned(),
            ..WriteFile::default()
        }
    }

    #[test]
    fn every_encoding() {
        // `printf hello | gzip -n | base64`
        let zipped = "H4sIAAAAAAAAA8tIzcnJBwCGphA2BQAAAA==";
        let table = [
            ("hello", "", Ok("hello")),
            ("aGVs\nbG8=\n", "b64", Ok("hello")),
            (zipped, "gz+b64", Ok("hello")),
            (zipped, "gzip+base64", Ok("hello")),
            (
                "hello",
                "rot13",
                Err("write_files[\"/a/b\"].encoding: \"rot13\" is none of b64, base64, gz, gzip"),
            ),
            (
                "surely not compressed",
                "gzip",
                Err("write_files[\"/a/b\"].content: is not gzip: invalid gzip header"),
            ),
        ];
        for (content, encoding, expected) in table {
            let got = decode(&entry(content, encoding, ""))
                .map(|bytes| String::from_utf8(bytes).unwrap())
                .map_err(|error| error.to_string());
            assert_eq!(
                got,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{encoding}"
            );
        }
    }

    #[test]
    fn modes_are_octal() {
        let table = [
            ("", Some(0o644)),
            ("0600", Some(0o600)),
            ("755", Some(0o755)),
            ("9", None),
            ("17777", None),
        ];
        for (text, expected) in table {
            assert_eq!(mode(&entry("", "", text)).ok(), expected, "{text}");
        }
    }

    #[test]
    fn files_are_written_where_and_as_they_should() {
        use std::os::unix::fs::PermissionsExt;
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: needs root to set owners");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &entry("x", "", "0750")).unwrap();
        let path = root.path().join("a/b");
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o750
        );
        let relative = WriteFile {
            path: "b".to_owned(),
            ..entry("", "", "")
        };
        assert_eq!(
            write(root.path(), &relative).unwrap_err().to_string(),
            "write_files[\"b\"].path: is not absolute"
        );
    }

    #[test]
    fn files_without_a_container_are_the_consoles() {
        let of = |container: &str| WriteFile {
            container: container.to_owned(),
            ..WriteFile::default()
        };
        let table = [
            ("", "console", true),
            ("console", "console", true),
            ("ntp", "console", false),
            ("ntp", "ntp", true),
            ("", "ntp", false),
        ];
        for (wanted, container, expected) in table {
            assert_eq!(
                is_for(&of(wanted), container),
                expected,
                "{wanted:?} {container}"
            );
        }
    }
}
