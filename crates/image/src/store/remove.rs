//! `docker rmi`, with dockerd's rules and words (moby, `daemon/images/image_delete.go`, behaviour).

use std::fs;

use super::catalogue::{Catalogue, Found};
use super::{Store, delete, lock};
use crate::digest::Digest;
use crate::error::Error;
use crate::files::Layout;
use crate::reference::Reference;

/// A container that was made from an image, for [`Store::remove`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageUse {
    /// The container's id.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
}

/// One line of the answer to `docker rmi`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Removed {
    /// A name was taken away: familiar form.
    Untagged(String),
    /// An image (its id) or one of its layers was deleted.
    Deleted(Digest),
}

/// What is to be done, decided before anything is.
#[derive(Debug, Default, Eq, PartialEq)]
struct Plan {
    untag: Vec<Reference>,
    delete: bool,
}

impl Store {
    /// Removes a name, or an image with its last name, as `docker rmi` does. `uses` are the containers made from it.
    ///
    /// Layers of an image that containers use stay until [`Store::prune_layers`].
    ///
    /// # Errors
    /// [`Error::Conflict`] in Docker's words, and for bundled images.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        uses: &[ImageUse],
    ) -> Result<Vec<Removed>, Error> {
        let _changing = lock(&self.changes);
        let (found, plan) = {
            let catalogue = self.catalogue();
            let found = catalogue.resolve(name)?;
            let plan = plan(&catalogue, &found, force, uses)?;
            (found, plan)
        };
        self.change_names(|names| {
            for name in &plan.untag {
                names.remove(&name.to_string());
            }
        })?;
        let mut removed: Vec<_> = plan
            .untag
            .iter()
            .map(|name| Removed::Untagged(name.familiar()))
            .collect();
        if plan.delete {
            removed.push(Removed::Deleted(found.id.clone()));
            removed.extend(self.delete_image(&found.id, uses.is_empty())?);
        }
        Ok(removed)
    }

    /// Deletes the configuration, then the layers that no other image has.
    fn delete_image(&self, id: &Digest, with_layers: bool) -> Result<Vec<Removed>, Error> {
        let path = self.layout.config(id);
        fs::remove_file(&path).map_err(Error::io("remove", path))?;
        let stored = self.catalogue().remove(id);
        let wanted = self.wanted_layers();
        let mut removed = Vec::new();
        let diff_ids = stored
            .map(|image| image.config.rootfs.diff_ids)
            .unwrap_or_default();
        for diff_id in diff_ids.into_iter().rev().filter(|_| with_layers) {
            let layer = self.layout.layer(&diff_id);
            // A bundled layer is not here.
            if layer.exists() && !wanted.contains(&Layout::tree(&layer)) {
                delete(&layer)?;
                removed.push(Removed::Deleted(diff_id));
            }
        }
        Ok(removed)
    }
}

fn plan(
    catalogue: &Catalogue,
    found: &Found,
    force: bool,
    uses: &[ImageUse],
) -> Result<Plan, Error> {
    let names = catalogue.names_of(&found.id);
    let own = |name: &Reference| catalogue.names().get(&name.to_string()) == Some(&found.id);
    let bundled = catalogue.is_bundled(&found.id);
    let Some(name) = &found.name else {
        if bundled {
            return Err(Error::Conflict(format!(
                "unable to delete {} (cannot be forced) - image is part of the operating system",
                found.id.short()
            )));
        }
        if !force && !is_single(&names) {
            return Err(must_force(
                &found.id,
                "image is referenced in multiple repositories",
            ));
        }
        check_uses(&found.id, force, uses)?;
        return Ok(Plan {
            untag: names,
            delete: true,
        });
    };
    if bundled && !own(name) {
        return Err(Error::Conflict(format!(
            "unable to remove repository reference \"{}\" (cannot be forced) - image {} is part of the operating system",
            name.familiar(),
            found.id.short()
        )));
    }
    if !force
        && !bundled
        && is_single(&names)
        && let Some(first) = uses.first()
    {
        return Err(Error::Conflict(format!(
            "unable to remove repository reference \"{}\" (must force) - container {} is using its referenced image {}",
            name.familiar(),
            shorten(&first.container),
            found.id.short()
        )));
    }
    let mut others: Vec<_> = names.into_iter().filter(|other| other != name).collect();
    let mut untag = vec![name.clone()];
    let is_last_tag = name.digest.is_none()
        && !others
            .iter()
            .any(|other| other.name == name.name && other.digest.is_none());
    if is_last_tag {
        // Digests of a repository go with its last tag.
        let (gone, rest) = others
            .into_iter()
            .partition(|other| other.name == name.name);
        others = rest;
        untag.extend::<Vec<_>>(gone);
    }
    let last = others.is_empty();
    // A container that still uses it keeps the image, without a name.
    let delete = last && !bundled && check_uses(&found.id, force, uses).is_ok();
    Ok(Plan { untag, delete })
}

/// At most one tag, and all names of one repository.
fn is_single(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest.is_none()).count();
    tags <= 1 && names.windows(2).all(|pair| pair[0].name == pair[1].name)
}

fn check_uses(id: &Digest, force: bool, uses: &[ImageUse]) -> Result<(), Error> {
    if let Some(running) = uses.iter().find(|container| container.running) {
        return Err(Error::Conflict(format!(
            "unable to delete {} (cannot be forced) - image is being used by running container {}",
            id.short(),
            shorten(&running.container)
        )));
    }
    match uses.first() {
        Some(stopped) if !force => Err(must_force(
            id,
            &format!(
                "image is being used by stopped container {}",
                shorten(&stopped.container)
            ),
        )),
        _ => Ok(()),
    }
}

fn must_force(id: &Digest, why: &str) -> Error {
    Error::Conflict(format!(
        "unable to delete {} (must be forced) - {why}",
        id.short()
    ))
}

fn shorten(container: &str) -> &str {
    container.get(..12).unwrap_or(container)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::catalogue::{Names, Stored};
    use super::*;
    use crate::config::ImageConfig;

    const A: &str = "ca978112ca1b";

    fn catalogue(names: &[&str], bundled_names: &[&str]) -> Catalogue {
        let id = Digest::of(b"a");
        let stored = Stored {
            config: ImageConfig::default(),
            layers: vec![],
            layer_sizes: vec![],
            size: 0,
            bundled: !bundled_names.is_empty(),
        };
        let all = |list: &[&str]| -> Names {
            list.iter()
                .map(|n| (Reference::parse(n).unwrap().to_string(), id.clone()))
                .collect()
        };
        Catalogue::new(
            BTreeMap::from([(id.clone(), stored)]),
            all(names),
            all(bundled_names),
        )
    }

    fn attempt(
        names: &[&str],
        bundled: &[&str],
        what: &str,
        force: bool,
        uses: &[bool],
    ) -> Result<String, String> {
        let catalogue = catalogue(names, bundled);
        let found = catalogue.resolve(what).unwrap();
        let uses: Vec<_> = uses
            .iter()
            .map(|running| ImageUse {
                container: "c".repeat(64),
                running: *running,
            })
            .collect();
        let plan = plan(&catalogue, &found, force, &uses).map_err(|error| error.to_string())?;
        let untag: Vec<_> = plan.untag.iter().map(Reference::familiar).collect();
        Ok(format!(
            "{}{}",
            untag.join(" "),
            if plan.delete { " deleted" } else { "" }
        ))
    }

    #[test]
    fn names_and_images_are_removed_as_dockerd_does() {
        let digest = format!("x@{}", Digest::of(b"d"));
        for (names, what, force, uses, expected) in [
            (vec!["x:1"], "x:1", false, vec![], "x:1 deleted".to_owned()),
            (vec!["x:1", "x:2"], "x:1", false, vec![], "x:1".to_owned()),
            (
                vec!["x:1", "y:1"],
                "y:1",
                false,
                vec![true],
                "y:1".to_owned(),
            ),
            (vec!["x:1"], A, false, vec![], "x:1 deleted".to_owned()),
            (vec![], A, false, vec![], " deleted".to_owned()),
            (
                vec!["x:1", "y:1"],
                A,
                true,
                vec![],
                "x:1 y:1 deleted".to_owned(),
            ),
            (
                vec!["x:1"],
                "x:1",
                true,
                vec![false],
                "x:1 deleted".to_owned(),
            ),
            (vec!["x:1"], "x:1", true, vec![true], "x:1".to_owned()),
            (
                vec!["x:1", &digest],
                "x:1",
                false,
                vec![],
                format!("x:1 {digest} deleted"),
            ),
            (
                vec!["x:1", &digest, "y:1"],
                "x:1",
                false,
                vec![],
                format!("x:1 {digest}"),
            ),
            (
                vec!["x:1", &digest, "x:2"],
                "x:1",
                false,
                vec![],
                "x:1".to_owned(),
            ),
            (vec!["x:1", &digest], &digest, false, vec![], digest.clone()),
        ] {
            assert_eq!(
                attempt(&names, &[], what, force, &uses),
                Ok(expected),
                "{names:?} {what} {force} {uses:?}"
            );
        }
    }

    #[test]
    fn conflicts_are_told_in_dockers_words() {
        for (names, what, force, uses, expected) in [
            (
                vec!["x:1"],
                "x:1",
                false,
                vec![false],
                "conflict: unable to remove repository reference \"x:1\" (must force) - container cccccccccccc is using its \
                 referenced image ca978112ca1b",
            ),
            (
                vec!["x:1"],
                A,
                true,
                vec![true],
                "conflict: unable to delete ca978112ca1b (cannot be forced) - image is being used by running container \
                 cccccccccccc",
            ),
            (
                vec!["x:1"],
                A,
                false,
                vec![false],
                "conflict: unable to delete ca978112ca1b (must be forced) - image is being used by stopped container \
                 cccccccccccc",
            ),
            (
                vec!["x:1", "y:1"],
                A,
                false,
                vec![],
                "conflict: unable to delete ca978112ca1b (must be forced) - image is referenced in multiple repositories",
            ),
        ] {
            assert_eq!(
                attempt(&names, &[], what, force, &uses),
                Err(expected.to_owned()),
                "{names:?} {what}"
            );
        }
    }

    #[test]
    fn bundled_images_stay_and_further_names_go() {
        let bundled = &["coracle/c:v1"];
        assert_eq!(
            attempt(&["mine:1"], bundled, "mine:1", false, &[true]),
            Ok("mine:1".to_owned())
        );
        for force in [false, true] {
            assert_eq!(
                attempt(&[], bundled, "coracle/c:v1", force, &[]),
                Err("conflict: unable to remove repository reference \"coracle/c:v1\" (cannot be forced) - image \
                     ca978112ca1b is part of the operating system"
                    .to_owned())
            );
            assert_eq!(
                attempt(&[], bundled, A, force, &[]),
                Err("conflict: unable to delete ca978112ca1b (cannot be forced) - image is part of the operating system"
                    .to_owned())
            );
        }
    }
}
