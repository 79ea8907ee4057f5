//! The propagation of each bind mount (mount_namespaces(7)).
//!
//! libcontainer (0.7) knows only that of the root, so one mount that is shared with the machine would share them all; and
//! what is mounted below another would appear on the machine, once more at each start.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};
use rustix::fd::AsFd as _;
use rustix::fs::CWD;
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
    let failed = |action: &str, path: &Path, error: io::Error| {
        format!("cannot {action} {}: {error}", path.display())
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(staging)
        .map_err(|error| failed("make", staging, error))?;
    coracle_sys::namespace::own_mounts()
        .map_err(|error| format!("cannot get mounts of its own: {error}"))?;
    let root = Path::new("/");
    mount_change(
        root,
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )
    .map_err(|error| failed("keep to itself what is mounted below", root, error.into()))?;
    mount("staging", staging, "tmpfs", MountFlags::empty(), None)
        .map_err(|error| failed("mount a tmpfs on", staging, error.into()))?;
    for (index, (mount, tree)) in shared.into_iter().zip(trees).enumerate() {
        let place = staging.join(index.to_string());
        let is_directory = File::from(tree.try_clone().map_err(|e| failed("open", &place, e))?)
            .metadata()
            .map_err(|error| failed("read", &place, error))?
            .is_dir();
        if is_directory {
            fs::create_dir(&place)
        } else {
            File::create(&place).map(drop)
        }
        .map_err(|error| failed("make", &place, error))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(tree.as_fd(), "", CWD, &place, flags)
            .map_err(|error| failed("mount", &place, error.into()))?;
        mount.set_source(Some(place));
    }
    Ok(propagation)
}

/// A copy of the mount's source, of the same peer group.
fn clone_tree(mount: &Mount) -> Result<rustix::fd::OwnedFd, String> {
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if has_option(mount, "rbind") {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, source, flags).map_err(|error| {
        let error = io::Error::from(error);
        format!("cannot bind {}: {error}", source.display())
    })
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
        let differ = |mount: &&&Mount| {
            !matches!(wish(mount), MountPropagationFlags::SHARED) && wish(mount) != root
        };
        let wishes = binds.iter().filter(differ).map(|outer| {
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
        let failed = |action: &str, error: io::Error| format!("cannot {action}: {error}");
        let open = |path: &str| File::open(path).map_err(|error| failed(path, error));
        let (own, inside) = (
            open("/proc/self/ns/mnt")?,
            open(&format!("/proc/{pid}/ns/mnt"))?,
        );
        let enter = |namespace: &File| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
                .map_err(|error| failed("enter the container's mounts", error.into()))
        };
        enter(&inside)?;
        let changed = self.wishes.iter().try_for_each(|(destination, flags)| {
            match mount_change(destination, *flags) {
                // Another mount lies over it, and nobody gets at it.
                Err(Errno::INVAL) => Ok(()),
                result => result.map_err(|error| {
                    let path = destination.display();
                    failed(&format!("change the propagation of {path}"), error.into())
                }),
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
