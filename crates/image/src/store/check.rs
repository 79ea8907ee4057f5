//! Whether the writable store's files agree with each other. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::catalogue::Names;
use super::open::{bundled_layer, read_bundled, read_image, read_names};
use crate::digest::Digest;
use crate::error::Error;
use crate::files::Layout;
use crate::recipe::{self, Replay};
use crate::reference::Reference;

/// Something that is wrong, for people: one line.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// On what: `image sha256:…`.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: &'static str,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.problem, self.remedy)
    }
}

/// What [`Check::run`] looks at.
#[derive(Clone, Debug)]
pub struct Check<'a> {
    /// As for [`super::Store::open`].
    pub bundled: Option<&'a Path>,
    /// As for [`super::Store::open`].
    pub root: &'a Path,
    /// Trees of layers that containers have.
    pub in_use: &'a BTreeSet<PathBuf>,
    /// Somebody works on the store: what is in the making is nothing wrong.
    pub in_work: bool,
    /// Read every layer and compare its digest.
    pub digests: bool,
}

const LOAD_AGAIN: &str = "remove the image (docker rmi -f) and load or pull it again";
const START: &str = "start the engine, which removes it";
const DELETE: &str = "delete it";

impl Check<'_> {
    /// Everything that is wrong, in no particular order.
    pub fn run(&self) -> Vec<Finding> {
        let layout = Layout::new(self.root);
        let mut findings = Vec::new();
        let mut images = BTreeMap::new();
        let mut bundled_names = Names::new();
        if let Some(bundled) = self.bundled {
            match read_bundled(bundled, &mut images) {
                Ok(names) => bundled_names = names,
                Err(error) => findings.push(Finding {
                    subject: format!("bundled images {}", bundled.display()),
                    problem: error.to_string(),
                    remedy: "install the system again",
                }),
            }
        }
        let mut wanted = BTreeSet::new();
        for entry in list(&layout.images()) {
            let name = entry.to_string_lossy();
            let path = layout.images().join(&entry);
            if name.starts_with('.') {
                if !self.in_work {
                    findings.push(leftover(&path, START));
                }
                continue;
            }
            let id = name.strip_suffix(".json");
            let id = id.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            let Some(id) = id else {
                if name != "repositories.json" {
                    findings.push(leftover(&path, DELETE));
                }
                continue;
            };
            match read_image(&layout, &id, |diff_id| bundled_layer(&images, diff_id)) {
                Ok(image) => {
                    wanted.extend(image.config.rootfs.diff_ids.iter().cloned());
                    images.entry(id).or_insert(image);
                }
                Err(error) => findings.push(Finding {
                    subject: format!("image {id}"),
                    problem: error.to_string(),
                    remedy: LOAD_AGAIN,
                }),
            }
        }
        match read_names(&layout) {
            Ok(names) => {
                for (name, id) in names {
                    let problem = if Reference::parse(&name).is_err() {
                        "is no name of an image".to_owned()
                    } else if !images.contains_key(&id) && !bundled_names.values().any(|b| *b == id)
                    {
                        format!("means image {id}, which does not exist")
                    } else {
                        continue;
                    };
                    findings.push(Finding {
                        subject: format!("image name {name}"),
                        problem,
                        remedy: "start the engine, which forgets it; load or pull the image again",
                    });
                }
            }
            Err(error) => findings.push(Finding {
                subject: "names of images".to_owned(),
                problem: error.to_string(),
                remedy: "delete the file; images are then found by id only",
            }),
        }
        for entry in list(&layout.layers()) {
            let path = layout.layers().join(&entry);
            let name = entry.to_string_lossy();
            if name.starts_with('.') {
                if !self.in_work {
                    findings.push(leftover(&path, START));
                }
                continue;
            }
            match format!("sha256:{name}").parse::<Digest>() {
                Ok(diff_id) => self.layer(&layout, &diff_id, &wanted, &mut findings),
                Err(_) => findings.push(leftover(&path, DELETE)),
            }
        }
        findings
    }

    fn layer(
        &self,
        layout: &Layout,
        diff_id: &Digest,
        wanted: &BTreeSet<Digest>,
        findings: &mut Vec<Finding>,
    ) {
        let layer = layout.layer(diff_id);
        let mut add = |problem: String, remedy| {
            findings.push(Finding {
                subject: format!("layer {diff_id}"),
                problem,
                remedy,
            });
        };
        if !wanted.contains(diff_id) && !self.in_use.contains(&Layout::tree(&layer)) {
            add(
                "no image and no container has it".to_owned(),
                "start the engine, which removes it",
            );
        }
        let missing = [
            Layout::tree(&layer),
            Layout::recipe(&layer),
            Layout::size(&layer),
        ];
        let mut whole = true;
        for path in missing.iter().filter(|path| !path.exists()) {
            whole = false;
            add(format!("{} does not exist", path.display()), LOAD_AGAIN);
        }
        for entry in list(&layer) {
            let known = ["diff", "recipe", "size", "origins.json"];
            if known.iter().all(|name| *entry != **name) && !self.in_work {
                add(
                    format!("{} is left over", layer.join(&entry).display()),
                    DELETE,
                );
            }
        }
        if whole
            && self.digests
            && let Err(error) = reread(&layer, diff_id)
        {
            add(error.to_string(), LOAD_AGAIN);
        }
    }
}

fn reread(layer: &Path, diff_id: &Digest) -> Result<(), Error> {
    let (recipe, tree) = (Layout::recipe(layer), Layout::tree(layer));
    let opened = File::open(&recipe)
        .and_then(recipe::open)
        .map_err(Error::io("read", &recipe))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&tree, flags, Mode::empty()).map_err(Error::io("open", &tree))?;
    let mut archive = Replay::new(opened, root, diff_id.clone());
    io::copy(&mut archive, &mut io::sink())
        .map(drop)
        .map_err(Error::io("read", tree))
}

fn leftover(path: &Path, remedy: &'static str) -> Finding {
    Finding {
        subject: path.display().to_string(),
        problem: "is left over".to_owned(),
        remedy,
    }
}

/// Names in a directory; what does not exist has none.
fn list(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}
