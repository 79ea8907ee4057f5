//! Writing a layer's entries below one directory, whatever their names and links say.
//!
//! Every path is resolved by the kernel with the directory as root (`openat2(2)`, `RESOLVE_IN_ROOT`): `..` and
//! absolute symbolic links stay inside. Deletion marks become overlayfs's (kernel documentation, "overlayfs",
//! whiteouts and opaque directories).

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags, chownat,
    fchmod, fchown, fsetxattr, futimens, linkat, lsetxattr, makedev, mkdirat, mknodat, openat,
    openat2, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::fchdir;
use rustix::process::{Gid, Uid};

use crate::error::Error;
use crate::files::{COPIED_AT_ONCE, copy};

/// What an entry has besides its content.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub seconds: i64,
    pub nanoseconds: u32,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Deletion marks (OCI image specification, layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names of aufs that old images hold.
const AUFS: &[u8] = b".wh..wh.";
/// overlayfs keeps its own marks in these: an archive must not forge them.
const RESERVED: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// A directory that is being filled.
pub struct Tree {
    root: OwnedFd,
    /// Times of directories, set when nothing more is made in them.
    times: BTreeMap<Vec<u8>, Timestamps>,
    /// The parent of the last entry, which most often is that of the next.
    last: Option<(Vec<u8>, OwnedFd)>,
    size: u64,
    buffer: Vec<u8>,
}

impl Tree {
    pub fn new(root: OwnedFd) -> Self {
        Self {
            root,
            times: BTreeMap::new(),
            last: None,
            size: 0,
            buffer: vec![0; COPIED_AT_ONCE],
        }
    }

    /// A regular file with the content of `reader`; or what a deletion mark stands for.
    pub fn file(
        &mut self,
        path: &[u8],
        metadata: &Metadata,
        reader: &mut impl Read,
    ) -> io::Result<()> {
        let path = Path::parse(path)?;
        if path.name == OPAQUE {
            let parent = self.parent(&path.parent)?;
            return Ok(fsetxattr(
                parent,
                "trusted.overlay.opaque",
                b"y",
                XattrFlags::empty(),
            )?);
        }
        if path.name.starts_with(AUFS) {
            return Ok(());
        }
        if let Some(name) = path.name.strip_prefix(WHITEOUT) {
            return self.whiteout(&path.parent, name);
        }
        let parent = self.place(&path, false)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(openat(
            &parent,
            &*path.name,
            flags,
            Mode::RUSR | Mode::WUSR,
        )?);
        self.size += copy(reader, &mut file, &mut self.buffer)?;
        decorate(&file, metadata)?;
        Ok(futimens(&file, &metadata.times())?)
    }

    /// A directory; one that is there already only gets the metadata.
    pub fn directory(&mut self, path: &[u8], metadata: &Metadata) -> io::Result<()> {
        let path = Path::parse(path)?;
        let directory = if path.name.is_empty() {
            self.root.try_clone()?
        } else {
            let parent = self.place(&path, true)?;
            match mkdirat(&parent, &*path.name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            openat(
                &parent,
                &*path.name,
                DIRECTORY | OFlags::NOFOLLOW,
                Mode::empty(),
            )?
        };
        self.times.insert(path.whole(), metadata.times());
        decorate(&directory, metadata)
    }

    /// A symbolic link with any target.
    pub fn symlink(&mut self, path: &[u8], target: &[u8], metadata: &Metadata) -> io::Result<()> {
        let path = Path::parse(path)?;
        let parent = self.place(&path, false)?;
        symlinkat(target, &parent, &*path.name)?;
        self.decorate_special(&parent, &path.name, metadata)
    }

    /// A further name of a file of this layer.
    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        let (path, target) = (Path::parse(path)?, Path::parse(target)?);
        let missing = || {
            io::Error::other(format!(
                "a hard link to {}, which is not in the layer",
                target.display()
            ))
        };
        let from = self.open(&target.parent).map_err(|_| missing())?;
        statat(&from, &*target.name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        if path.whole() == target.whole() {
            return Ok(());
        }
        let parent = self.place(&path, false)?;
        Ok(linkat(
            &from,
            &*target.name,
            &parent,
            &*path.name,
            AtFlags::empty(),
        )?)
    }

    /// A device or a FIFO.
    pub fn node(
        &mut self,
        path: &[u8],
        kind: FileType,
        device: u64,
        metadata: &Metadata,
    ) -> io::Result<()> {
        let path = Path::parse(path)?;
        let parent = self.place(&path, false)?;
        let mode = Mode::from_raw_mode(metadata.mode);
        mknodat(&parent, &*path.name, kind, mode, device)?;
        self.decorate_special(&parent, &path.name, metadata)
    }

    /// Sets the times of all directories and makes the tree durable; gives the bytes of its files.
    pub fn finish(self) -> Result<u64, Error> {
        // Children first, so that nothing touches a directory after its time is set.
        for (path, times) in self.times.iter().rev() {
            let shown = || String::from_utf8_lossy(path).into_owned();
            let directory = self.open(path).map_err(Error::io("open", shown()))?;
            futimens(&directory, times).map_err(Error::io("set the time of", shown()))?;
        }
        rustix::fs::syncfs(&self.root).map_err(Error::io("sync", "the layer"))?;
        Ok(self.size)
    }

    fn whiteout(&mut self, parent: &[u8], name: &[u8]) -> io::Result<()> {
        if matches!(name, b"" | b"." | b"..") {
            return Err(io::Error::other("a deletion mark without name"));
        }
        let path = Path {
            parent: parent.to_vec(),
            name: name.to_vec(),
        };
        let parent = self.place(&path, false)?;
        Ok(mknodat(
            &parent,
            &*path.name,
            FileType::CharacterDevice,
            Mode::empty(),
            makedev(0, 0),
        )?)
    }

    /// The directory that `path` is to be made in, with nothing in the way.
    fn place(&mut self, path: &Path, is_directory: bool) -> io::Result<OwnedFd> {
        if path.name.is_empty() {
            return Err(io::Error::other("the root of a layer must be a directory"));
        }
        let parent = self.parent(&path.parent)?.try_clone()?;
        match statat(&parent, &*path.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => {
                let directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
                if !(directory && is_directory) {
                    remove(&parent, &path.name, directory)?;
                    let whole = path.whole();
                    self.times
                        .retain(|other, _| *other != whole && !is_below(other, &whole));
                }
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(parent)
    }

    /// Opens a directory, making what is missing of it.
    fn parent(&mut self, path: &[u8]) -> io::Result<&OwnedFd> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let opened = match self.open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(path)?,
                other => other?,
            };
            self.last = Some((path.to_vec(), opened));
        }
        match &self.last {
            Some((_, directory)) => Ok(directory),
            None => Ok(&self.root),
        }
    }

    fn make(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let (above, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        let parent = match self.open(above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(above)?,
            other => other?,
        };
        match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            // A symbolic link to nowhere is there, but no directory.
            Ok(()) | Err(Errno::EXIST) => self.open(path),
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(
            &self.root,
            path,
            DIRECTORY,
            Mode::empty(),
            resolve,
        )?)
    }

    /// Owner, mode, time and attributes of what cannot be opened.
    fn decorate_special(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        metadata: &Metadata,
    ) -> io::Result<()> {
        chownat(
            parent,
            name,
            Some(metadata.owner().0),
            Some(metadata.owner().1),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
            rustix::fs::chmodat(
                parent,
                name,
                Mode::from_raw_mode(metadata.mode),
                AtFlags::empty(),
            )?;
        }
        if metadata.own_attributes().next().is_some() {
            // One component below the current directory: no link can be followed.
            fchdir(parent)?;
            for (key, value) in metadata.own_attributes() {
                lsetxattr(name, key, value, XattrFlags::empty())?;
            }
        }
        Ok(utimensat(
            parent,
            name,
            &metadata.times(),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// In this order: changing the owner clears set-id bits and file capabilities.
fn decorate(file: impl AsFd, metadata: &Metadata) -> io::Result<()> {
    let (uid, gid) = metadata.owner();
    fchown(&file, Some(uid), Some(gid))?;
    fchmod(&file, Mode::from_raw_mode(metadata.mode))?;
    for (key, value) in metadata.own_attributes() {
        fsetxattr(&file, key, value, XattrFlags::empty())?;
    }
    Ok(())
}

impl Metadata {
    fn owner(&self) -> (Uid, Gid) {
        (Uid::from_raw(self.uid), Gid::from_raw(self.gid))
    }

    fn times(&self) -> Timestamps {
        let time = Timespec {
            tv_sec: self.seconds,
            tv_nsec: self.nanoseconds.into(),
        };
        Timestamps {
            last_access: time,
            last_modification: time,
        }
    }

    fn own_attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let own = self
            .attributes
            .iter()
            .filter(|(key, _)| !RESERVED.iter().any(|prefix| key.starts_with(prefix)));
        own.map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

/// An entry's path: relative, without `.` and empty components. The root has an empty name.
struct Path {
    parent: Vec<u8>,
    name: Vec<u8>,
}

impl Path {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut components: Vec<&[u8]> = Vec::new();
        for component in bytes.split(|b| *b == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(io::Error::other("a path that leaves the layer")),
                component => components.push(component),
            }
        }
        let name = components.pop().unwrap_or_default().to_vec();
        Ok(Self {
            parent: components.join(&b'/'),
            name,
        })
    }

    fn whole(&self) -> Vec<u8> {
        if self.parent.is_empty() {
            self.name.clone()
        } else {
            [&*self.parent, &*self.name].join(&b'/')
        }
    }

    fn display(&self) -> String {
        String::from_utf8_lossy(&self.whole()).into_owned()
    }
}

/// Whether an entry of this path is a deletion mark, not a file.
pub fn is_mark(path: &[u8]) -> bool {
    Path::parse(path).is_ok_and(|path| path.name.starts_with(WHITEOUT))
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with(b"/"))
}

/// Removes a file, or a directory with all that is in it; follows nothing.
fn remove(parent: impl AsFd, name: &[u8], is_directory: bool) -> io::Result<()> {
    if !is_directory {
        return Ok(unlinkat(parent, name, AtFlags::empty())?);
    }
    let directory = openat(&parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            let found = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            remove(
                &directory,
                name,
                FileType::from_raw_mode(found.st_mode) == FileType::Directory,
            )?;
        }
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}
