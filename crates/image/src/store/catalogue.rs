//! Which images there are and how they are called: pure data, without files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::Error;
use crate::image::Image;
use crate::reference::Reference;

/// Full names, with tag or digest, and the images they mean.
pub type Names = BTreeMap<String, Digest>;

/// An image without its names.
#[derive(Clone, Debug)]
pub struct Stored {
    pub config: ImageConfig,
    pub layers: Vec<PathBuf>,
    pub layer_sizes: Vec<u64>,
    pub size: u64,
    pub bundled: bool,
}

/// The images of both roots.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    images: BTreeMap<Digest, Stored>,
    /// Names in the writable store; they hide bundled ones.
    names: Names,
    bundled_names: Names,
}

/// What [`Catalogue::resolve`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    pub id: Digest,
    /// The name that led to it, if it was not an id.
    pub name: Option<Reference>,
}

impl Catalogue {
    pub fn new(images: BTreeMap<Digest, Stored>, names: Names, bundled_names: Names) -> Self {
        Self {
            images,
            names,
            bundled_names,
        }
    }

    pub fn ids(&self) -> impl Iterator<Item = &Digest> {
        self.images.keys()
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn set_names(&mut self, names: Names) {
        self.names = names;
    }

    /// The tree of a layer that a bundled image has.
    pub fn bundled_layer(&self, diff_id: &Digest) -> Option<PathBuf> {
        super::open::bundled_layer(&self.images, diff_id)
    }

    pub fn insert(&mut self, id: Digest, image: Stored) {
        self.images.insert(id, image);
    }

    pub fn remove(&mut self, id: &Digest) -> Option<Stored> {
        self.images.remove(id)
    }

    pub fn is_bundled(&self, id: &Digest) -> bool {
        self.images.get(id).is_some_and(|image| image.bundled)
    }

    /// Layer trees that images have.
    pub fn layers(&self) -> BTreeSet<PathBuf> {
        self.images
            .values()
            .flat_map(|image| image.layers.iter().cloned())
            .collect()
    }

    /// Names of an image that are in force.
    pub fn names_of(&self, id: &Digest) -> Vec<Reference> {
        let bundled = self
            .bundled_names
            .iter()
            .filter(|(name, _)| !self.names.contains_key(*name));
        let all = self.names.iter().chain(bundled);
        all.filter(|(_, other)| *other == id)
            .filter_map(|(name, _)| Reference::parse(name).ok())
            .collect()
    }

    pub fn image(&self, id: &Digest) -> Option<Image> {
        let stored = self.images.get(id)?.clone();
        let names = self.names_of(id);
        let familiar = |digest: bool| {
            let mut list: Vec<_> = names
                .iter()
                .filter(|name| name.digest.is_some() == digest)
                .map(Reference::familiar)
                .collect();
            list.sort();
            list
        };
        Some(Image {
            id: id.clone(),
            config: stored.config,
            tags: familiar(false),
            digests: familiar(true),
            layers: stored.layers,
            layer_sizes: stored.layer_sizes,
            size: stored.size,
            bundled: stored.bundled,
        })
    }

    /// Finds an image as dockerd does: a full id, then a name, then the beginning of an id.
    pub fn resolve(&self, text: &str) -> Result<Found, Error> {
        let by_id = |id: Digest| {
            self.images
                .contains_key(&id)
                .then_some(Found { id, name: None })
        };
        if text.starts_with("sha256:")
            && let Ok(id) = text.parse()
        {
            return by_id(id).ok_or_else(|| Error::NotFound(text.to_owned()));
        }
        if let Ok(id) = format!("sha256:{text}").parse() {
            return by_id(id).ok_or_else(|| Error::NotFound(text.to_owned()));
        }
        let parsed = Reference::parse(text).map(Reference::with_default_tag);
        if let Ok(name) = &parsed
            && let Some(id) = self.by_name(name)
        {
            return Ok(Found {
                id,
                name: Some(name.clone()),
            });
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        let mut fitting = self
            .images
            .keys()
            .filter(|id| id.hex().starts_with(prefix) && !prefix.is_empty());
        match (fitting.next(), fitting.next()) {
            (Some(_), Some(_)) => Err(Error::Ambiguous(text.to_owned())),
            (Some(id), None) => Ok(Found {
                id: id.clone(),
                name: None,
            }),
            (None, _) => Err(Error::NotFound(parsed?.familiar())),
        }
    }

    fn by_name(&self, name: &Reference) -> Option<Digest> {
        // With tag and digest, the digest decides.
        let key = match &name.digest {
            Some(_) => Reference {
                tag: None,
                ..name.clone()
            }
            .to_string(),
            None => name.to_string(),
        };
        self.names
            .get(&key)
            .or_else(|| self.bundled_names.get(&key))
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> (Catalogue, Digest, Digest) {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let stored = |bundled| Stored {
            config: ImageConfig::default(),
            layers: vec![],
            layer_sizes: vec![],
            size: 0,
            bundled,
        };
        let images = [(a.clone(), stored(true)), (b.clone(), stored(false))].into();
        let names = |list: &[(&str, &Digest)]| {
            list.iter()
                .map(|(n, id)| ((*n).to_owned(), (*id).clone()))
                .collect()
        };
        let bundled = names(&[
            ("docker.io/coracle/c:v1", &a),
            ("docker.io/coracle/c:v2", &a),
        ]);
        let own = names(&[
            ("docker.io/coracle/c:v2", &b),
            ("docker.io/library/x:latest", &b),
        ]);
        (Catalogue::new(images, own, bundled), a, b)
    }

    #[test]
    fn images_are_found_by_name_id_and_beginning_of_an_id() {
        let (catalogue, a, b) = catalogue();
        for (text, id, named) in [
            ("coracle/c:v1".to_owned(), &a, true),
            ("docker.io/coracle/c:v1".to_owned(), &a, true),
            ("coracle/c:v2".to_owned(), &b, true),
            ("x".to_owned(), &b, true),
            (a.to_string(), &a, false),
            (a.hex().to_owned(), &a, false),
            (b.short().to_owned(), &b, false),
            (format!("sha256:{}", b.short()), &b, false),
        ] {
            let found = catalogue.resolve(&text).unwrap();
            assert_eq!((&found.id, found.name.is_some()), (id, named), "{text}");
        }
    }

    #[test]
    fn what_is_not_found_is_named_in_full() {
        let (catalogue, ..) = catalogue();
        for (text, message) in [
            ("nope", "No such image: nope:latest"),
            ("nope:1", "No such image: nope:1"),
            (
                "Nope",
                "invalid reference format: repository name (library/Nope) must be lowercase",
            ),
            ("", "invalid reference format"),
        ] {
            assert_eq!(catalogue.resolve(text).unwrap_err().to_string(), message);
        }
        let id = Digest::of(b"c").to_string();
        assert_eq!(
            catalogue.resolve(&id).unwrap_err().to_string(),
            format!("No such image: {id}")
        );
    }

    #[test]
    fn own_names_hide_bundled_ones() {
        let (catalogue, a, b) = catalogue();
        assert_eq!(catalogue.image(&a).unwrap().tags, ["coracle/c:v1"]);
        assert_eq!(
            catalogue.image(&b).unwrap().tags,
            ["coracle/c:v2", "x:latest"]
        );
    }
}
