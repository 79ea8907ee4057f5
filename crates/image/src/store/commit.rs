//! `docker commit`: an image of an existing one's layers and what a container has written over them.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom};
use std::path::Path;

use coracle_sys::spawn::Launcher;

use super::{Store, lock};
use crate::config::{History, ImageConfig};
use crate::digest::{Digest, DigestWriter};
use crate::error::Error;
use crate::files::{mark_finished, mark_unfinished, write_atomically};
use crate::layer_archive;
use crate::reference::Reference;
use crate::unpack::archive::load_layer;
use crate::unpack::spool::temporary;

/// What becomes of a container.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The new image's configuration, with the layers and the history of the old one.
    pub config: ImageConfig,
    /// The last step of its history.
    pub step: History,
    /// What the container has written: the upper directory of its overlay.
    pub upper: &'a Path,
    /// Paths where empty files and directories are no content but mount points.
    pub mount_points: &'a [&'a str],
    /// The image's name.
    pub name: Option<&'a Reference>,
}

impl Store {
    /// Makes an image of a container's files; nothing may change them meanwhile.
    ///
    /// # Errors
    /// When the files cannot be read, or the store not written; then there is no image.
    pub fn commit(&self, commit: Commit<'_>, launcher: &dyn Launcher) -> Result<Digest, Error> {
        let _changing = lock(&self.changes);
        let Commit {
            mut config,
            mut step,
            upper,
            mount_points,
            name,
        } = commit;
        let path = temporary(&self.layout.layers(), "commit");
        let layer = self.pack(&path, upper, mount_points, launcher);
        // What stays behind is removed when the store is opened.
        let _ = fs::remove_file(&path);
        match layer? {
            Some(diff_id) => config.rootfs.diff_ids.push(diff_id),
            None => step.empty_layer = true,
        }
        config.rootfs.kind = "layers".to_owned();
        config.history.push(step);
        let bytes = serde_json::to_vec(&config)
            .map_err(|error| Error::Archive(format!("encode the configuration: {error}")))?;
        let id = Digest::of(&bytes);
        // Cut before its name is written, there is no image.
        mark_unfinished(&self.layout, &id)?;
        write_atomically(&self.layout.config(&id), &bytes)?;
        self.insert(&id)?;
        if let Some(name) = name {
            let name = name.clone().with_default_tag().to_string();
            self.change_names(|names| drop(names.insert(name, id.clone())))?;
        }
        mark_finished(&self.layout, &id)?;
        Ok(id)
    }

    /// Packs the files at `path`, and unpacks them as a layer; `None` when there are none.
    fn pack(
        &self,
        path: &Path,
        upper: &Path,
        mount_points: &[&str],
        launcher: &dyn Launcher,
    ) -> Result<Option<Digest>, Error> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(Error::io("make", path))?;
        let mut archive = DigestWriter::new(file);
        let entries = layer_archive::write(upper, mount_points, &mut archive)
            .map_err(|error| Error::Archive(format!("read {}: {error}", upper.display())))?;
        if entries == 0 {
            return Ok(None);
        }
        let (mut file, diff_id, _) = archive.finish();
        if !self.layout.layer(&diff_id).exists() {
            file.seek(SeekFrom::Start(0))
                .map_err(Error::io("read", path))?;
            load_layer(file, &diff_id, &self.layout, launcher)?;
        }
        Ok(Some(diff_id))
    }
}
