//! Merging everything that asks for a mount: `--volumes-from`, `-v`, `--mount`, `--tmpfs` and the image's volumes.

use bollard_stubs::models::{ContainerConfig, HostConfig};

use super::bind::{clean, parse_bind};
use super::mount_api::parse_mount;
use crate::error::{Error, Result};
use crate::record::{MountKind, MountPoint};

/// Where the mounts of another container come from (`VolumesFrom`); the container need not ever have run.
pub trait Sources {
    /// The mount points of the container with this name or id.
    ///
    /// # Errors
    /// When there is none.
    fn mounts_of(&self, container: &str) -> Result<Vec<MountPoint>>;
}

/// The mount points of a new container, in Docker's order of precedence; volumes have no source yet.
///
/// # Errors
/// Docker's texts, also when two ask for the same destination.
pub fn plan(
    config: &ContainerConfig,
    host: &HostConfig,
    sources: &impl Sources,
) -> Result<Vec<MountPoint>> {
    let mut points: Vec<MountPoint> = Vec::new();
    for entry in host.volumes_from.iter().flatten() {
        for point in inherited(entry, sources)? {
            replace(&mut points, point);
        }
    }
    let mut own: Vec<MountPoint> = Vec::new();
    let binds = host.binds.iter().flatten().map(|text| parse_bind(text));
    let mounts = host.mounts.iter().flatten().map(parse_mount);
    for point in binds.chain(mounts) {
        let point = point?;
        let is_tmpfs = |path: &String| clean(path) == point.destination;
        if own
            .iter()
            .any(|other| other.destination == point.destination)
            || host.tmpfs.iter().flatten().any(|(path, _)| is_tmpfs(path))
        {
            return Err(Error::Invalid(format!(
                "Duplicate mount point: {}",
                point.destination
            )));
        }
        own.push(point);
    }
    for point in own {
        replace(&mut points, point);
    }
    for (path, options) in host.tmpfs.iter().flatten() {
        if !path.starts_with('/') {
            return Err(Error::Invalid(format!(
                "invalid mount path: '{path}' mount path must be absolute"
            )));
        }
        let tmpfs_options = options
            .split(',')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let point = MountPoint {
            kind: MountKind::Tmpfs,
            destination: clean(path),
            writable: true,
            tmpfs_options,
            ..MountPoint::default()
        };
        replace(&mut points, point);
    }
    let mut volumes: Vec<String> = config
        .volumes
        .iter()
        .flatten()
        .map(|path| clean(path))
        .collect();
    volumes.sort_unstable();
    for destination in volumes {
        if destination == "/" {
            return Err(Error::Invalid(
                "invalid volume specification: '/': destination can't be '/'".into(),
            ));
        }
        if points.iter().any(|point| point.destination == destination) {
            continue;
        }
        let anonymous = MountPoint {
            kind: MountKind::Volume,
            destination,
            writable: true,
            anonymous: true,
            ..MountPoint::default()
        };
        points.push(anonymous);
    }
    Ok(points)
}

fn replace(points: &mut Vec<MountPoint>, point: MountPoint) {
    points.retain(|other| other.destination != point.destination);
    points.push(point);
}

/// `container[:ro|rw]`.
fn inherited(entry: &str, sources: &impl Sources) -> Result<Vec<MountPoint>> {
    let (name, mode) = entry.split_once(':').unwrap_or((entry, ""));
    if name.is_empty() {
        return Err(Error::Invalid(format!(
            "malformed volumes-from specification: {entry}"
        )));
    }
    if !matches!(mode, "" | "ro" | "rw" | "z" | "Z") {
        return Err(Error::Invalid(format!(
            "invalid mode for volumes-from: {mode}"
        )));
    }
    let points = sources
        .mounts_of(name)
        // Not "not found": clients would go and pull the container's image.
        .map_err(|error| Error::Invalid(error.to_string()))?
        .into_iter()
        .filter(|point| point.kind != MountKind::Tmpfs)
        .map(|point| {
            MountPoint {
                writable: point.writable && mode != "ro",
                // It belongs to the other container.
                anonymous: false,
                no_copy: true,
                ..point
            }
        });
    Ok(points.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Other;

    impl Sources for Other {
        fn mounts_of(&self, container: &str) -> Result<Vec<MountPoint>> {
            assert_eq!(container, "other");
            Ok(vec![parse_bind("/o1:/one")?, parse_bind("/o2:/two")?])
        }
    }

    fn destinations(
        config: ContainerConfig,
        host: HostConfig,
    ) -> Result<Vec<(String, String, bool)>, String> {
        plan(&config, &host, &Other)
            .map(|points| {
                let of = |point: MountPoint| {
                    (
                        point.destination,
                        point.kind.name().to_owned() + &point.source,
                        point.writable,
                    )
                };
                points.into_iter().map(of).collect()
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn later_words_win_and_image_volumes_fill_the_rest() {
        let config = ContainerConfig {
            volumes: Some(vec!["/data".into(), "/two".into()]),
            ..ContainerConfig::default()
        };
        let host = HostConfig {
            volumes_from: Some(vec!["other:ro".into()]),
            binds: Some(vec!["/mine:/one".into()]),
            tmpfs: Some([("/run".to_owned(), "size=1m".to_owned())].into()),
            ..HostConfig::default()
        };
        let expected = [
            ("/two", "bind/o2", false),
            ("/one", "bind/mine", true),
            ("/run", "tmpfs", true),
            ("/data", "volume", true),
        ];
        let expected = expected
            .map(|(a, b, c)| (a.to_owned(), b.to_owned(), c))
            .to_vec();
        assert_eq!(destinations(config, host), Ok(expected));
    }

    #[test]
    fn two_mounts_cannot_have_the_same_place() {
        let host = HostConfig {
            binds: Some(vec!["/a:/x".into(), "/b:/x/".into()]),
            ..HostConfig::default()
        };
        assert_eq!(
            destinations(ContainerConfig::default(), host),
            Err("Duplicate mount point: /x".into())
        );
        let host = HostConfig {
            volumes_from: Some(vec!["other:bad".into()]),
            ..HostConfig::default()
        };
        assert_eq!(
            destinations(ContainerConfig::default(), host),
            Err("invalid mode for volumes-from: bad".into())
        );
    }
}
