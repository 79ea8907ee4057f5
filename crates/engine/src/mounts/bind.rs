//! The short form of mounts: `[source:]destination[:options]` (`docker run -v`).

use crate::error::{Error, Result};
use crate::mounts::{DEFAULT_PROPAGATION, PROPAGATION_MODES};
use crate::record::{MountKind, MountPoint};
use crate::volumes;

/// Parses one `HostConfig.Binds` entry. A volume without a name becomes an anonymous one.
///
/// # Errors
/// Docker's texts.
pub fn parse_bind(text: &str) -> Result<MountPoint> {
    let invalid =
        |why: &str| Error::Invalid(format!("invalid volume specification: '{text}'{why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts[..] {
        [destination] => ("", destination, ""),
        [source, destination] => (source, destination, ""),
        [source, destination, mode] => (source, destination, mode),
        _ => return Err(invalid("")),
    };
    if destination.is_empty() || (parts.len() > 1 && source.is_empty()) {
        return Err(invalid(""));
    }
    let kind = if source.starts_with('/') {
        MountKind::Bind
    } else {
        MountKind::Volume
    };
    let config = |why: &str| {
        invalid(&format!(
            ": invalid mount config for type \"{}\": {why}",
            kind.name()
        ))
    };
    if !destination.starts_with('/') {
        return Err(config(&format!(
            "invalid mount path: '{destination}' mount path must be absolute"
        )));
    }
    let destination = clean(destination);
    if destination == "/" {
        return Err(config("invalid specification: destination can't be '/'"));
    }
    let options = Options::parse(mode, kind)?;
    let mut mount = MountPoint {
        kind,
        destination,
        writable: !options.read_only,
        mode: mode.to_owned(),
        no_copy: options.no_copy,
        ..MountPoint::default()
    };
    match kind {
        MountKind::Bind => {
            mount.source = clean(source);
            mount.create_source = true;
            mount.propagation = options
                .propagation
                .unwrap_or(DEFAULT_PROPAGATION)
                .to_owned();
        }
        _ if source.is_empty() => mount.anonymous = true,
        _ => {
            volumes::check_name(source)?;
            mount.name = Some(source.to_owned());
            // Docker: what nobody chose is for SELinux, which means nothing here but is shown.
            if mode.is_empty() {
                mount.mode = "z".to_owned();
            }
        }
    }
    Ok(mount)
}

#[derive(Default)]
struct Options<'a> {
    read_only: bool,
    no_copy: bool,
    propagation: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(mode: &'a str, kind: MountKind) -> Result<Self> {
        let invalid = || Error::Invalid(format!("invalid mode: {mode}"));
        let mut options = Self::default();
        let mut access = 0;
        for word in mode.split(',').filter(|word| !word.is_empty()) {
            match word {
                "ro" | "rw" => {
                    options.read_only = word == "ro";
                    access += 1;
                }
                "nocopy" if kind == MountKind::Volume => options.no_copy = true,
                // SELinux labels and the consistency hints of other systems mean nothing here.
                "z" | "Z" | "cached" | "delegated" | "consistent" | "default" => {}
                word if PROPAGATION_MODES.contains(&word) && kind == MountKind::Bind => {
                    if options.propagation.replace(word).is_some() {
                        return Err(invalid());
                    }
                }
                _ => return Err(invalid()),
            }
        }
        if access > 1 {
            return Err(invalid());
        }
        Ok(options)
    }
}

/// An absolute path without `.`, `..` and doubled or trailing slashes.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_binds_and_volumes() {
        let bind = MountPoint {
            source: "/a".into(),
            destination: "/b".into(),
            writable: true,
            propagation: "rprivate".into(),
            create_source: true,
            ..MountPoint::default()
        };
        let volume = MountPoint {
            kind: MountKind::Volume,
            destination: "/b".into(),
            writable: true,
            ..MountPoint::default()
        };
        let table = [
            ("/a:/b", bind.clone()),
            ("/a/../a/:/b//", bind.clone()),
            (
                "/a:/b:ro",
                MountPoint {
                    writable: false,
                    mode: "ro".into(),
                    ..bind.clone()
                },
            ),
            (
                "/a:/b:ro,shared",
                MountPoint {
                    writable: false,
                    propagation: "shared".into(),
                    mode: "ro,shared".into(),
                    ..bind.clone()
                },
            ),
            (
                "/a:/b:z",
                MountPoint {
                    mode: "z".into(),
                    ..bind
                },
            ),
            (
                "/b",
                MountPoint {
                    anonymous: true,
                    ..volume.clone()
                },
            ),
            (
                "data:/b",
                MountPoint {
                    name: Some("data".into()),
                    mode: "z".into(),
                    ..volume.clone()
                },
            ),
            (
                "data:/b:nocopy",
                MountPoint {
                    name: Some("data".into()),
                    no_copy: true,
                    mode: "nocopy".into(),
                    ..volume
                },
            ),
        ];
        for (text, expected) in table {
            assert_eq!(parse_bind(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        for (text, expected) in [
            ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
            ("", "invalid volume specification: ''"),
            (":/b", "invalid volume specification: ':/b'"),
            ("/a:/b:nope", "invalid mode: nope"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("data:/b:shared", "invalid mode: shared"),
            (
                "/a:b",
                "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' \
                 mount path must be absolute",
            ),
            (
                "/a:/",
                "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: \
                 destination can't be '/'",
            ),
        ] {
            assert_eq!(
                parse_bind(text).unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
        assert!(
            parse_bind("./a:/b")
                .unwrap_err()
                .to_string()
                .starts_with("create ./a: \"./a\" includes invalid")
        );
    }
}
