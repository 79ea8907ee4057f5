//! Volumes of the local driver: directories that outlive containers, or what their options mount there.

mod local;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::disk::{self, Durability};
use crate::error::{Doing, Error, Result};
use crate::rootfs::detach;
use crate::{id, time};

/// Label of volumes that were made for one container.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// How the directory of a volume begins that is being removed: no name of a volume does.
const GOING: &str = ".removed-";

/// One volume.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Where its files are.
    #[serde(skip)]
    pub data: PathBuf,
}

impl Volume {
    /// Whether it was made for one container.
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS_LABEL)
    }
}

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct VolumeRequest {
    /// Empty: one is made up.
    pub name: String,
    /// Empty or `local`.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// All volumes, kept under `<root>/volumes/<name>/{volume.json,_data}`.
#[derive(Debug)]
pub struct Volumes {
    dir: PathBuf,
    table: Mutex<BTreeMap<String, Volume>>,
    /// Who uses the volumes that are mounted. Each has its own lock: a server that does not answer must not hold up the
    /// others.
    users: Mutex<HashMap<String, Arc<Mutex<HashSet<String>>>>>,
}

impl Volumes {
    /// Reads the volumes under `dir`. One whose file is damaged keeps its data and loses its labels; what was being made or
    /// removed when a former engine ended is removed. Those in `users` are mounted, each for these containers.
    ///
    /// # Errors
    /// When the directory cannot be made or listed.
    pub fn open(dir: PathBuf, users: BTreeMap<String, BTreeSet<String>>) -> Result<Self> {
        fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()))?;
        let mut table = BTreeMap::new();
        for entry in fs::read_dir(&dir)
            .doing(|| format!("list {}", dir.display()))?
            .flatten()
        {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let data = entry.path().join("_data");
            let file = entry.path().join("volume.json");
            if !users.contains_key(&name) {
                // Of a former engine; a volume without options has nothing mounted.
                detach(&data);
            }
            disk::remove_unfinished(&entry.path());
            if name.starts_with(GOING) || !file.exists() && is_empty(&data) {
                let removed = remove_unmounted(&entry.path());
                removed.doing(|| format!("remove {}", entry.path().display()))?;
                continue;
            }
            if !data.is_dir() {
                continue;
            }
            let volume = disk::read_json::<Volume>(&file).unwrap_or_else(|error| {
                tracing::warn!("volume {name}: {error}");
                Volume {
                    created: time::now(),
                    ..Volume::default()
                }
            });
            table.insert(
                name.clone(),
                Volume {
                    name,
                    data,
                    ..volume
                },
            );
        }
        Ok(Self {
            dir,
            table: Mutex::new(table),
            users: Mutex::new(
                users
                    .into_iter()
                    .map(|(name, users)| (name, Arc::new(Mutex::new(users.into_iter().collect()))))
                    .collect(),
            ),
        })
    }

    /// The volume with this name, made if there is none; tells whether it was made.
    ///
    /// # Errors
    /// Docker's texts for a bad name, another driver, or options.
    pub fn create(&self, request: VolumeRequest) -> Result<(Volume, bool)> {
        if !matches!(request.driver.as_str(), "" | "local") {
            return Err(Error::Invalid(format!(
                "create {1}: error looking up volume plugin {0}: plugin \"{0}\" not found",
                request.driver, request.name
            )));
        }
        local::validate(&request.options)
            .map_err(|why| Error::Invalid(format!("create {}: {why}", request.name)))?;
        let name = if request.name.is_empty() {
            id::generate()
        } else {
            request.name
        };
        check_name(&name)?;
        let mut table = self.table();
        if let Some(volume) = table.get(&name) {
            return Ok((volume.clone(), false));
        }
        let dir = self.dir.join(&name);
        let data = dir.join("_data");
        fs::create_dir_all(&data).doing(|| format!("make {}", data.display()))?;
        let volume = Volume {
            name: name.clone(),
            created: time::now(),
            labels: request.labels,
            options: request.options,
            data,
        };
        disk::write_json(&dir.join("volume.json"), &volume, Durability::Ordered)?;
        table.insert(name, volume.clone());
        Ok((volume, true))
    }

    /// The volume with this name.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`].
    pub fn get(&self, name: &str) -> Result<Volume> {
        self.table()
            .get(name)
            .cloned()
            .ok_or_else(|| Error::NoSuchVolume(name.to_owned()))
    }

    /// Every volume, by name.
    pub fn list(&self) -> Vec<Volume> {
        self.table().values().cloned().collect()
    }

    /// Deletes a volume and its files; the caller has checked that nothing uses it. Blocks.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], or when files cannot be deleted.
    pub fn remove(&self, name: &str) -> Result<()> {
        let mut table = self.table();
        if !table.contains_key(name) {
            return Err(Error::NoSuchVolume(name.to_owned()));
        }
        // Locked: it is being mounted or unmounted.
        let busy = |users: &Arc<Mutex<HashSet<String>>>| {
            users.try_lock().map_or(true, |users| !users.is_empty())
        };
        if self.users().get(name).is_some_and(busy)
            || is_mounted(&self.dir.join(name).join("_data"))
        {
            return Err(Error::Conflict(format!(
                "remove {name}: volume has active mounts"
            )));
        }
        let dir = self.dir.join(name);
        // A rename first: whatever happens next, the volume does not come back half.
        let going = self.dir.join(format!("{GOING}{name}"));
        if going.exists() {
            // An earlier removal has failed on the way.
            remove_unmounted(&going).doing(|| format!("remove {}", going.display()))?;
        }
        fs::rename(&dir, &going).doing(|| format!("remove {}", dir.display()))?;
        table.remove(name);
        self.users().remove(name);
        fs::remove_dir_all(&going).doing(|| format!("remove {}", going.display()))
    }

    /// Mounts what a volume's options say, for `user`, unless it is mounted already. Blocks.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], or Docker's text when it cannot be mounted.
    pub fn acquire(&self, name: &str, user: &str) -> Result<()> {
        let volume = self.get(name)?;
        if volume.options.is_empty() {
            return Ok(());
        }
        let users = Arc::clone(self.users().entry(name.to_owned()).or_default());
        let mut users = lock(&users);
        if users.is_empty() {
            local::mount_on(&volume.data, &volume.options)?;
        }
        users.insert(user.to_owned());
        Ok(())
    }

    /// Ends a use that [`Volumes::acquire`] has begun, if any; the last one unmounts. Blocks.
    pub fn release(&self, name: &str, user: &str) {
        let Some(users) = self.users().get(name).map(Arc::clone) else {
            return;
        };
        let mut users = lock(&users);
        if users.remove(user) && users.is_empty() {
            detach(&self.dir.join(name).join("_data"));
        }
    }

    /// Which containers use each mounted volume.
    pub fn all_users(&self) -> BTreeMap<String, BTreeSet<String>> {
        let users = self.users();
        let all = users
            .iter()
            .map(|(name, users)| (name.clone(), lock(users).iter().cloned().collect()));
        all.filter(|(_, users): &(_, BTreeSet<_>)| !users.is_empty())
            .collect()
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, Arc<Mutex<HashSet<String>>>>> {
        lock(&self.users)
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Volume>> {
        lock(&self.table)
    }
}

/// Whether there is nothing in a directory, or no directory.
fn is_empty(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Deletes a volume's directory, unless its data is still mounted.
fn remove_unmounted(dir: &Path) -> io::Result<()> {
    if is_mounted(&dir.join("_data")) {
        return Err(Errno::BUSY.into());
    }
    fs::remove_dir_all(dir)
}

/// Whether something is mounted on `path`: then what is below it is not the volume's to delete.
fn is_mounted(path: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, path, flags, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Docker's rule for names of local volumes: at least two characters of `[a-zA-Z0-9_.-]`, the first alphanumeric.
///
/// # Errors
/// Docker's texts.
pub fn check_name(name: &str) -> Result<()> {
    if crate::names::valid(name) && !name.starts_with('/') {
        return Ok(());
    }
    Err(Error::Invalid(if name.len() == 1 {
        format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    } else {
        format!(
            "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_survive_the_engine() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(dir.path().join("volumes"), BTreeMap::new()).unwrap();
        let request = VolumeRequest {
            name: "data".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..VolumeRequest::default()
        };
        let (made, new) = volumes.create(request.clone()).unwrap();
        assert!(new && made.data.is_dir());
        assert_eq!(volumes.create(request).unwrap(), (made.clone(), false));
        let (anonymous, _) = volumes.create(VolumeRequest::default()).unwrap();
        // The former engine was killed while it made one and removed others.
        for cut_short in [
            "made/_data",
            ".removed-whole/_data",
            ".removed-half",
            "half",
        ] {
            fs::create_dir_all(dir.path().join("volumes").join(cut_short)).unwrap();
        }
        fs::write(dir.path().join("volumes/data/volume.json.new"), "").unwrap();
        let again = Volumes::open(dir.path().join("volumes"), BTreeMap::new()).unwrap();
        let kept = fs::read_dir(dir.path().join("volumes")).unwrap().count();
        assert_eq!(
            (kept, made.data.join("../volume.json.new").exists()),
            (2, false)
        );
        assert_eq!(again.get("data").unwrap(), made);
        assert_eq!(again.list().len(), 2);
        again.remove(&anonymous.name).unwrap();
        assert_eq!(
            again.get(&anonymous.name).unwrap_err().to_string(),
            format!("get {}: no such volume", anonymous.name)
        );
    }

    #[test]
    fn what_is_mounted_is_not_deleted_with_a_volume() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root to mount");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(dir.path().join("volumes"), BTreeMap::new()).unwrap();
        let request = VolumeRequest {
            name: "data".into(),
            options: [("type", "tmpfs"), ("device", "tmpfs")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..VolumeRequest::default()
        };
        let (volume, _) = volumes.create(request).unwrap();
        volumes.acquire("data", "one").unwrap();
        volumes.acquire("data", "two").unwrap();
        fs::write(volume.data.join("file"), "").unwrap();
        volumes.release("data", "one");
        let in_use = volumes.remove("data").map_err(|error| error.to_string());
        let kept = volume.data.join("file").exists();
        // As if it had not been unmounted after its last use.
        lock(&volumes.users).clear();
        let forgotten = volumes.remove("data").map_err(|error| error.to_string());
        detach(&volume.data);
        let refusal = Err("remove data: volume has active mounts".to_owned());
        assert_eq!((in_use, kept, forgotten), (refusal.clone(), true, refusal));
        volumes.remove("data").unwrap();
    }

    #[test]
    fn bad_requests_are_refused_in_dockers_words() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(dir.path().to_owned(), BTreeMap::new()).unwrap();
        let driver = VolumeRequest {
            driver: "nfs".into(),
            ..VolumeRequest::default()
        };
        assert_eq!(
            volumes.create(driver).unwrap_err().to_string(),
            "create : error looking up volume plugin nfs: plugin \"nfs\" not found"
        );
        let (wrong, short) = ("includes invalid characters", "volume name is too short");
        for (name, expected) in [("a/b", wrong), ("..", wrong), ("-x", wrong), ("x", short)] {
            let request = VolumeRequest {
                name: name.into(),
                ..VolumeRequest::default()
            };
            assert!(
                volumes
                    .create(request)
                    .unwrap_err()
                    .to_string()
                    .contains(expected),
                "{name}"
            );
        }
    }
}
