//! The long form of mounts: `HostConfig.Mounts` (`docker run --mount`).

use std::path::Path;

use bollard_stubs::models::{Mount, MountBindOptionsPropagationEnum, MountType};

use super::bind::clean;
use crate::error::{Error, Result};
use crate::mounts::DEFAULT_PROPAGATION;
use crate::record::{MountKind, MountPoint};

/// Checks one entry and turns it into a mount point.
///
/// # Errors
/// Docker's texts.
pub fn parse_mount(mount: &Mount) -> Result<MountPoint> {
    let kind = match mount.typ {
        Some(MountType::BIND) | None => MountKind::Bind,
        Some(MountType::VOLUME) => MountKind::Volume,
        Some(MountType::TMPFS) => MountKind::Tmpfs,
        Some(MountType::IMAGE) => MountKind::Image,
        Some(other) => {
            return Err(Error::Invalid(format!(
                "invalid mount config for type \"{other}\": mount type unsupported by this engine"
            )));
        }
    };
    let invalid = |why: &str| {
        Error::Invalid(format!(
            "invalid mount config for type \"{}\": {why}",
            kind.name()
        ))
    };
    let target = mount.target.as_deref().unwrap_or_default();
    let source = mount.source.as_deref().unwrap_or_default();
    if target.is_empty() {
        return Err(invalid("field Target must not be empty"));
    }
    if !target.starts_with('/') {
        return Err(invalid(&format!(
            "invalid mount path: '{target}' mount path must be absolute"
        )));
    }
    let destination = clean(target);
    if destination == "/" {
        return Err(invalid("invalid specification: destination can't be '/'"));
    }
    for (given, belongs_to, name) in [
        (mount.bind_options.is_some(), MountKind::Bind, "BindOptions"),
        (
            mount.volume_options.is_some(),
            MountKind::Volume,
            "VolumeOptions",
        ),
        (
            mount.tmpfs_options.is_some(),
            MountKind::Tmpfs,
            "TmpfsOptions",
        ),
        (
            mount.image_options.is_some(),
            MountKind::Image,
            "ImageOptions",
        ),
    ] {
        if given && kind != belongs_to {
            return Err(invalid(&format!("field {name} must not be specified")));
        }
    }
    let mut point = MountPoint {
        kind,
        destination,
        writable: !mount.read_only.unwrap_or(false),
        spec: Some(mount.clone()),
        ..MountPoint::default()
    };
    match kind {
        MountKind::Bind => bind(mount, source, &mut point).map_err(|why| invalid(&why))?,
        MountKind::Volume => volume(mount, source, &mut point).map_err(|why| invalid(&why))?,
        MountKind::Tmpfs => tmpfs(mount, source, &mut point).map_err(|why| invalid(&why))?,
        MountKind::Image => image(mount, source, &mut point).map_err(|why| invalid(&why))?,
    }
    Ok(point)
}

fn bind(mount: &Mount, source: &str, point: &mut MountPoint) -> Result<(), String> {
    if source.is_empty() {
        return Err("field Source must not be empty".into());
    }
    if !source.starts_with('/') {
        return Err(format!(
            "invalid mount path: '{source}' mount path must be absolute"
        ));
    }
    let options = mount.bind_options.clone().unwrap_or_default();
    point.source = clean(source);
    point.create_source = options.create_mountpoint.unwrap_or(false);
    if !point.create_source && !Path::new(&point.source).exists() {
        return Err(format!("bind source path does not exist: {source}"));
    }
    point.non_recursive = options.non_recursive.unwrap_or(false);
    point.read_only_non_recursive = options.read_only_non_recursive.unwrap_or(false);
    if options.read_only_force_recursive.unwrap_or(false) {
        if point.writable {
            return Err("ReadOnlyForceRecursive requires ReadOnly".into());
        }
        if point.non_recursive || point.read_only_non_recursive {
            return Err(
                "ReadOnlyForceRecursive conflicts with NonRecursive and ReadOnlyNonRecursive"
                    .into(),
            );
        }
    }
    point.propagation = match options.propagation {
        None | Some(MountBindOptionsPropagationEnum::EMPTY) => DEFAULT_PROPAGATION.to_owned(),
        Some(mode) => mode.to_string(),
    };
    Ok(())
}

fn volume(mount: &Mount, source: &str, point: &mut MountPoint) -> Result<(), String> {
    let options = mount.volume_options.clone().unwrap_or_default();
    point.no_copy = options.no_copy.unwrap_or(false);
    point.subpath = subpath(options.subpath)?;
    if source.is_empty() {
        point.anonymous = true;
    } else {
        // It is checked when the volume is made.
        point.name = Some(source.to_owned());
    }
    Ok(())
}

fn image(mount: &Mount, source: &str, point: &mut MountPoint) -> Result<(), String> {
    if source.is_empty() {
        return Err("field Source must not be empty".into());
    }
    point.source = source.to_owned();
    point.writable = false;
    let options = mount.image_options.clone().unwrap_or_default();
    point.subpath = subpath(options.subpath)?;
    Ok(())
}

fn subpath(path: Option<String>) -> Result<Option<String>, String> {
    match path.filter(|path| !path.is_empty()) {
        Some(path) if path.starts_with('/') || path.split('/').any(|part| part == "..") => {
            Err("subpath must be a relative path within the volume".into())
        }
        path => Ok(path),
    }
}

fn tmpfs(mount: &Mount, source: &str, point: &mut MountPoint) -> Result<(), String> {
    if !source.is_empty() {
        return Err("field Source must not be specified".into());
    }
    let options = mount.tmpfs_options.clone().unwrap_or_default();
    if let Some(size) = options.size_bytes.filter(|size| *size != 0) {
        if size < 0 {
            return Err("size must not be negative".into());
        }
        point.tmpfs_options.push(format!("size={size}"));
    }
    if let Some(mode) = options.mode.filter(|mode| *mode != 0) {
        point.tmpfs_options.push(format!("mode={mode:o}"));
    }
    // Docker: a list of one-word options and of key and value pairs.
    point.tmpfs_options.extend(
        options
            .options
            .iter()
            .flatten()
            .map(|words| words.join("=")),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<MountPoint, String> {
        parse_mount(&serde_json::from_str(json).unwrap())
            .map(|point| MountPoint {
                spec: None,
                ..point
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn long_forms_are_binds_volumes_tmpfs_and_images() {
        let table = [
            (
                r#"{"Type":"image","Source":"busybox","Target":"/x","ImageOptions":{"Subpath":"bin"}}"#,
                MountPoint {
                    kind: MountKind::Image,
                    source: "busybox".into(),
                    destination: "/x".into(),
                    subpath: Some("bin".into()),
                    ..MountPoint::default()
                },
            ),
            (
                r#"{"Type":"bind","Source":"/tmp","Target":"/x","ReadOnly":true,"BindOptions":{"Propagation":"rslave","NonRecursive":true}}"#,
                MountPoint {
                    source: "/tmp".into(),
                    destination: "/x".into(),
                    propagation: "rslave".into(),
                    non_recursive: true,
                    ..MountPoint::default()
                },
            ),
            (
                r#"{"Type":"volume","Source":"data","Target":"/x/","VolumeOptions":{"NoCopy":true,"Subpath":"a/b"}}"#,
                MountPoint {
                    kind: MountKind::Volume,
                    name: Some("data".into()),
                    destination: "/x".into(),
                    writable: true,
                    no_copy: true,
                    subpath: Some("a/b".into()),
                    ..MountPoint::default()
                },
            ),
            (
                r#"{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"SizeBytes":4096,"Mode":1023}}"#,
                MountPoint {
                    kind: MountKind::Tmpfs,
                    destination: "/x".into(),
                    writable: true,
                    tmpfs_options: vec!["size=4096".into(), "mode=1777".into()],
                    ..MountPoint::default()
                },
            ),
        ];
        for (json, expected) in table {
            assert_eq!(parse(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        let start = "invalid mount config for type ";
        for (json, expected) in [
            (
                r#"{"Type":"bind","Source":"/tmp"}"#,
                "\"bind\": field Target must not be empty",
            ),
            (
                r#"{"Type":"bind","Target":"/x"}"#,
                "\"bind\": field Source must not be empty",
            ),
            (
                r#"{"Type":"bind","Source":"/none/such","Target":"/x"}"#,
                "\"bind\": bind source path does not exist: /none/such",
            ),
            (
                r#"{"Type":"image","Target":"/x"}"#,
                "\"image\": field Source must not be empty",
            ),
            (
                r#"{"Type":"bind","Source":"/tmp","Target":"/x","BindOptions":{"ReadOnlyForceRecursive":true}}"#,
                "\"bind\": ReadOnlyForceRecursive requires ReadOnly",
            ),
            (
                r#"{"Type":"cluster","Source":"x","Target":"/x"}"#,
                "\"cluster\": mount type unsupported by this engine",
            ),
            (
                r#"{"Type":"tmpfs","Source":"x","Target":"/x"}"#,
                "\"tmpfs\": field Source must not be specified",
            ),
            (
                r#"{"Type":"volume","Target":"/x","BindOptions":{}}"#,
                "\"volume\": field BindOptions must not be specified",
            ),
            (
                r#"{"Type":"volume","Target":"/x","VolumeOptions":{"Subpath":"../x"}}"#,
                "\"volume\": subpath must be a relative path within the volume",
            ),
        ] {
            assert_eq!(parse(json), Err(format!("{start}{expected}")), "{json}");
        }
    }
}
