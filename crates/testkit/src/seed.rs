use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Project, Result, disk};

/// Format of a configuration volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// iso9660.
    Iso,
    /// FAT.
    Vfat,
}

/// A configuration volume, labelled `cidata` (cloud-init's NoCloud) or `config-2` (OpenStack's config drive, inventory C2-009).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    label: &'static str,
    medium: Medium,
    files: Vec<(&'static str, String)>,
}

impl Seed {
    /// A `cidata` volume with this user data.
    pub fn cidata(user_data: impl Into<String>) -> Self {
        Self {
            label: "cidata",
            medium: Medium::Iso,
            files: vec![
                ("user-data", user_data.into()),
                ("meta-data", "instance-id: testkit\n".to_owned()),
            ],
        }
    }

    /// A `config-2` volume with this user data and metadata (JSON).
    pub fn config_2(user_data: impl Into<String>, meta_data: impl Into<String>) -> Self {
        Self {
            label: "config-2",
            medium: Medium::Iso,
            files: vec![
                ("openstack/latest/user_data", user_data.into()),
                ("openstack/latest/meta_data.json", meta_data.into()),
            ],
        }
    }

    /// On a file system of another kind.
    #[must_use]
    pub const fn on(mut self, medium: Medium) -> Self {
        self.medium = medium;
        self
    }

    /// Writes the volume as a raw disk `seed.img` in `dir`.
    pub(crate) fn write(&self, project: &Project, dir: &Path) -> Result<PathBuf> {
        let tree = tempfile::tempdir_in(dir).map_err(Error::io("create a directory in", dir))?;
        for (name, content) in &self.files {
            let path = tree.path().join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            }
            fs::write(&path, content).map_err(Error::io("write", &path))?;
        }
        let image = dir.join("seed.img");
        match self.medium {
            Medium::Iso => self.write_iso(project, tree.path(), &image)?,
            Medium::Vfat => self.write_vfat(project, tree.path(), &image)?,
        }
        Ok(image)
    }

    fn write_iso(&self, project: &Project, tree: &Path, image: &Path) -> Result<()> {
        let mut command = project.toolbox()?.command("xorriso")?;
        command.args([
            "-as", "mkisofs", "-quiet", "-J", "-R", "-V", self.label, "-o",
        ]);
        command.arg(image).arg(tree);
        disk::run(command, "xorriso")
    }

    fn write_vfat(&self, project: &Project, tree: &Path, image: &Path) -> Result<()> {
        let toolbox = project.toolbox()?;
        disk::create_blank(image, 4)?;
        let mut command = toolbox.command("mkfs.vfat")?;
        // FAT labels are upper case on other systems; the guest must find these as they are written here.
        command.args(["-n", self.label]).arg(image);
        disk::run(command, "mkfs.vfat")?;
        let mut tops: Vec<&str> = self
            .files
            .iter()
            .filter_map(|(name, _)| name.split('/').next())
            .collect();
        tops.dedup();
        let mut command = toolbox.command("mcopy")?;
        command.arg("-i").arg(image).arg("-s");
        command
            .args(tops.iter().map(|top| tree.join(top)))
            .arg("::");
        disk::run(command, "mcopy")
    }
}
