//! The propagation of each bind mount (mount_namespaces(7)).
//!
//! libcontainer (0.7) knows only that of the root, so one mount that is shared with the machine would share them all; and
//! what is mounted below another would appear on the machine, once more at each start.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{CWD, FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change,
    move_mount, open_tree,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What is left to do once the mounts are made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// Destinations whose propagation is not the root's.
    wishes: Vec<(PathBuf, MountPropagationFlags)>,
}

/// Prepares the mounts of `config`. Where some are shared, this process gets mounts of its own that nothing leaves; only the
/// sources of the shared ones, below `staging`, are still the machine's.
///
/// # Errors
/// What failed, on which path.
pub fn prepare(config: &mut Spec, staging: &Path) -> Result<Propagation, String> {
    let propagation = Propagation::of(config);
    let shared: Vec<&mut Mount> = config
        .mounts_mut()
        .iter_mut()
        .flatten()
        .filter(|mount| is_bind(mount) && wish(mount) == MountPropagationFlags::SHARED)
        .collect();
    if shared.is_empty() {
        return Ok(propagation);
    }
    let trees = shared
        .iter()
        .map(|mount| clone_tree(mount))
        .collect::<Result<Vec<_>, _>>()?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(staging)
        .map_err(failed("make", staging))?;
    coracle_sys::namespace::own_mounts().map_err(failed("copy the mounts of", Path::new("/")))?;
    let followers = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", followers).map_err(failed("change the propagation of", Path::new("/")))?;
    mount("staging", staging, "tmpfs", MountFlags::empty(), None)
        .map_err(failed("mount a tmpfs on", staging))?;
    for (index, (mount, tree)) in shared.into_iter().zip(trees).enumerate() {
        let place = staging.join(index.to_string());
        attach(&tree, &place)?;
        mount.set_source(Some(place));
    }
    Ok(propagation)
}

/// A copy of the mount's source, of the same peer group.
fn clone_tree(mount: &Mount) -> Result<OwnedFd, String> {
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if has_option(mount, "rbind") {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, source, flags).map_err(failed("bind", source))
}

/// Mounts `tree` on `place`, which is made for it.
fn attach(tree: &OwnedFd, place: &Path) -> Result<(), String> {
    let kind = fstat(tree).map_err(failed("read what belongs on", place))?;
    match FileType::from_raw_mode(kind.st_mode) {
        FileType::Directory => fs::create_dir(place),
        _ => File::create(place).map(drop),
    }
    .map_err(failed("make", place))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(tree, "", CWD, place, flags).map_err(failed("mount on", place))
}

fn failed<E: Into<io::Error>>(action: &str, path: &Path) -> impl Fn(E) -> String {
    move |error| format!("cannot {action} {}: {}", path.display(), error.into())
}

impl Propagation {
    /// What the mounts want that they do not get from the root.
    fn of(config: &Spec) -> Self {
        let linux = config.linux().as_ref();
        let root = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
        // Without a wish the root follows the machine, and so do bind mounts.
        let root = root
            .and_then(flag)
            .unwrap_or(MountPropagationFlags::DOWNSTREAM);
        let mounts = config.mounts().iter().flatten();
        let binds: Vec<&Mount> = mounts.filter(|mount| is_bind(mount)).collect();
        let given = [MountPropagationFlags::SHARED, root];
        let differ = binds.iter().filter(|mount| !given.contains(&wish(mount)));
        let wishes = differ.map(|outer| {
            let other_below = binds.iter().any(|inner| {
                inner.destination() != outer.destination()
                    && inner.destination().starts_with(outer.destination())
                    && wish(inner) != wish(outer)
            });
            let depth = match other_below {
                true => MountPropagationFlags::empty(),
                false => MountPropagationFlags::REC,
            };
            (outer.destination().clone(), wish(outer) | depth)
        });
        Self {
            wishes: wishes.collect(),
        }
    }

    /// Carries the wishes out in the container whose first process is `pid`, which does not run yet.
    ///
    /// # Errors
    /// What failed, on which path.
    pub fn apply(&self, pid: i32) -> Result<(), String> {
        if self.wishes.is_empty() {
            return Ok(());
        }
        let open = |path: PathBuf| File::open(&path).map_err(failed("open", &path));
        let own = open("/proc/self/ns/mnt".into())?;
        let inside = open(format!("/proc/{pid}/ns/mnt").into())?;
        let enter = |namespace: &File| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
                .map_err(failed("enter the mounts of", Path::new("the container")))
        };
        enter(&inside)?;
        let changed = self.wishes.iter().try_for_each(|(destination, flags)| {
            match mount_change(destination, *flags) {
                // Another mount lies over it, and nobody gets at it.
                Err(Errno::INVAL) => Ok(()),
                result => result.map_err(failed("change the propagation of", destination)),
            }
        });
        enter(&own)?;
        changed
    }
}

fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind")
        || has_option(mount, "bind")
        || has_option(mount, "rbind")
}

fn has_option(mount: &Mount, name: &str) -> bool {
    mount
        .options()
        .iter()
        .flatten()
        .any(|option| option == name)
}

/// What the mount asks for; private unless it says otherwise, as Docker's mounts are.
fn wish(mount: &Mount) -> MountPropagationFlags {
    let options = mount.options().iter().flatten();
    options
        .filter_map(|option| flag(option))
        .next_back()
        .unwrap_or(MountPropagationFlags::PRIVATE)
}

fn flag(option: &str) -> Option<MountPropagationFlags> {
    match option {
        "private" | "rprivate" => Some(MountPropagationFlags::PRIVATE),
        "slave" | "rslave" => Some(MountPropagationFlags::DOWNSTREAM),
        "shared" | "rshared" => Some(MountPropagationFlags::SHARED),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_root_does_not_give_is_left_to_do_and_spares_what_lies_below() {
        let (private, slave) = (
            MountPropagationFlags::PRIVATE,
            MountPropagationFlags::DOWNSTREAM,
        );
        let all = MountPropagationFlags::REC;
        let table = [
            (
                Some("private"),
                &[("/a", "rprivate"), ("/b", "ro")][..],
                &[][..],
            ),
            (None, &[("/a", "rprivate")], &[("/a", private | all)]),
            (
                Some("slave"),
                &[("/a", "rslave"), ("/b", "ro")],
                &[("/b", private | all)],
            ),
            (
                Some("shared"),
                &[("/a", "rshared"), ("/b", "slave"), ("/ab", "private")],
                &[("/b", slave | all), ("/ab", private | all)],
            ),
            (
                Some("shared"),
                &[("/a", "private"), ("/a/b", "private"), ("/a/b/c", "shared")],
                &[("/a", private), ("/a/b", private)],
            ),
        ];
        for (root, mounts, expected) in table {
            let mounts: Vec<_> = mounts
                .iter()
                .map(|(destination, option)| {
                    json!({"destination": destination, "source": "/", "options": ["rbind", option]})
                })
                .collect();
            let config = json!({
                "ociVersion": "1.2.0", "mounts": mounts, "linux": {"rootfsPropagation": root},
            });
            let expected = expected.iter().map(|(path, flags)| (path.into(), *flags));
            assert_eq!(
                Propagation::of(&serde_json::from_value(config).unwrap()).wishes,
                expected.collect::<Vec<_>>(),
            );
        }
    }
}
