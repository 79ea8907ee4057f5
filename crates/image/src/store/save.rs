//! `docker save`: an archive in the style of Docker 25 and later, an OCI layout with a `manifest.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};
use tar::{Builder, Header};

use super::Store;
use crate::bundle::{self, layer};
use crate::digest::Digest;
use crate::error::Error;
use crate::files::Layout;
use crate::image::Image;
use crate::recipe::{self, Replay};
use crate::reference::Reference;

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

impl Store {
    /// Writes images (names or ids) as a `docker save` archive. A repository without tag means all its tags.
    ///
    /// # Errors
    /// As [`Store::get`]; [`Error::Archive`] when a layer has changed or writing fails.
    pub fn save(&self, names: &[String], output: &mut dyn Write) -> Result<(), Error> {
        let mut images: BTreeMap<Digest, (Image, BTreeSet<String>)> = BTreeMap::new();
        for name in names {
            for (image, tag) in self.named(name)? {
                images
                    .entry(image.id.clone())
                    .or_insert_with(|| (image, BTreeSet::new()))
                    .1
                    .extend(tag);
            }
        }
        let mut archive = Builder::new(output);
        let (mut manifest, mut index) = (Vec::new(), Vec::new());
        let mut written = BTreeSet::new();
        for (image, tags) in images.into_values() {
            let described = self.write_image(&mut archive, &image, &mut written)?;
            let layers: Vec<_> = image.config.rootfs.diff_ids.iter().map(blob).collect();
            let familiar: Vec<_> = tags.iter().map(|tag| familiar(tag)).collect();
            manifest
                .push(json!({"Config": blob(&image.id), "RepoTags": familiar, "Layers": layers}));
            index.extend(tags.iter().map(|tag| annotated(&described, tag)));
            if tags.is_empty() {
                index.push(described);
            }
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": index});
        document(&mut archive, "index.json", index.to_string().as_bytes())?;
        document(
            &mut archive,
            "manifest.json",
            Value::from(manifest).to_string().as_bytes(),
        )?;
        document(
            &mut archive,
            "oci-layout",
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        archive.finish().map_err(failed)
    }

    /// Whether there are all the images that [`Store::save`] is to write.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::NoSuchReference`], as Docker words it.
    pub fn check_saved(&self, names: &[String]) -> Result<(), Error> {
        names.iter().try_for_each(|name| self.named(name).map(drop))
    }

    /// The images that a name means, each with the tag to keep (in full form).
    fn named(&self, name: &str) -> Result<Vec<(Image, Option<String>)>, Error> {
        let catalogue = self.catalogue();
        let parsed = Reference::parse(name);
        let complete = parsed
            .as_ref()
            .is_ok_and(|parsed| parsed.tag.is_some() || parsed.digest.is_some());
        if let Ok(Reference {
            name: repository,
            tag: None,
            digest: None,
        }) = parsed
        {
            let tags: Vec<_> = catalogue
                .ids()
                .flat_map(|id| catalogue.names_of(id).into_iter().map(move |tag| (id, tag)))
                .filter(|(_, tag)| tag.name == repository && tag.tag.is_some())
                .filter_map(|(id, tag)| Some((catalogue.image(id)?, Some(tag.to_string()))))
                .collect();
            if !tags.is_empty() {
                return Ok(tags);
            }
        }
        let found = catalogue.resolve(name).map_err(|error| match error {
            Error::NotFound(_) if complete => Error::NoSuchReference,
            Error::NotFound(_) => Error::NotFound(name.to_owned()),
            error => error,
        })?;
        let tag = found
            .name
            .filter(|name| name.digest.is_none())
            .map(|name| name.to_string());
        Ok(catalogue
            .image(&found.id)
            .map(|image| (image, tag))
            .into_iter()
            .collect())
    }

    /// Writes layers, configuration and OCI manifest; gives the manifest's descriptor.
    fn write_image(
        &self,
        archive: &mut Builder<impl Write>,
        image: &Image,
        written: &mut BTreeSet<Digest>,
    ) -> Result<Value, Error> {
        let mut layers = Vec::new();
        for diff_id in &image.config.rootfs.diff_ids {
            let size = self.layer_length(diff_id)?;
            layers.push(descriptor(LAYER_TYPE, diff_id, size));
            if written.insert(diff_id.clone()) {
                self.write_layer(archive, diff_id, size)?;
            }
        }
        let config = self.config_bytes(&image.id)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, &image.id, config.len() as u64),
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::of(&manifest);
        for (digest, bytes) in [(&image.id, &config), (&digest, &manifest)] {
            if written.insert(digest.clone()) {
                document(archive, &blob(digest), bytes)?;
            }
        }
        Ok(descriptor(MANIFEST_TYPE, &digest, manifest.len() as u64))
    }

    /// Bytes of the archive of a layer, uncompressed.
    ///
    /// # Errors
    /// When the store does not have the layer.
    pub fn layer_length(&self, diff_id: &Digest) -> Result<u64, Error> {
        let (recipe, tree) = self.recipe(diff_id)?;
        recipe::length(recipe).map_err(Error::io("read the recipe of", tree))
    }

    /// How to pack a layer, and its tree. A bundled layer has no recipe: it is made anew.
    fn recipe(&self, diff_id: &Digest) -> Result<(Box<dyn Read + Send>, PathBuf), Error> {
        let layer = self.layout.layer(diff_id);
        if !layer.exists()
            && let Some(tree) = self.catalogue().bundled_layer(diff_id)
        {
            let recipe = layer::recipe(&tree).and_then(|bytes| recipe::open(Cursor::new(bytes)));
            let recipe = recipe.map_err(Error::io("read", &tree))?;
            return Ok((Box::new(recipe), tree));
        }
        let path = Layout::recipe(&layer);
        let recipe = File::open(&path).and_then(recipe::open);
        let recipe = recipe.map_err(Error::io("read", path))?;
        Ok((Box::new(recipe), Layout::tree(&layer)))
    }

    fn write_layer(
        &self,
        archive: &mut Builder<impl Write>,
        diff_id: &Digest,
        size: u64,
    ) -> Result<(), Error> {
        let mut replay = self.layer_archive(diff_id)?;
        append(archive, &blob(diff_id), size, &mut replay)
            .map_err(|error| Error::Archive(format!("cannot save layer {diff_id}: {error}")))
    }

    /// The archive of a layer, uncompressed, as it was when it was unpacked or built; reading it to the end checks that.
    ///
    /// # Errors
    /// When the store does not have the layer.
    pub fn layer_archive(&self, diff_id: &Digest) -> Result<impl Read + Send + use<>, Error> {
        let (recipe, tree) = self.recipe(diff_id)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(&tree, flags, Mode::empty()).map_err(Error::io("open", tree))?;
        Ok(Replay::new(recipe, root, diff_id.clone()))
    }

    /// The bytes of an image's configuration, whose digest is its id.
    ///
    /// # Errors
    /// When the store does not have the image.
    pub fn config_bytes(&self, id: &Digest) -> Result<Vec<u8>, Error> {
        let mut path = self.layout.config(id);
        if self.catalogue().is_bundled(id)
            && let Some(root) = &self.bundled
        {
            path = bundle::config(root, id);
        }
        fs::read(&path).map_err(Error::io("read", path))
    }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn familiar(full: &str) -> String {
    Reference::parse(full).map_or_else(|_| full.to_owned(), |reference| reference.familiar())
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

fn annotated(descriptor: &Value, tag: &str) -> Value {
    let mut named = descriptor.clone();
    let short = tag.rsplit(':').next().unwrap_or_default();
    named["annotations"] =
        json!({"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": short});
    named
}

fn document(archive: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> Result<(), Error> {
    append(archive, path, bytes.len() as u64, &mut &*bytes).map_err(failed)
}

fn append(
    archive: &mut Builder<impl Write>,
    path: &str,
    size: u64,
    content: &mut impl Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, path, content)
}

fn failed(error: io::Error) -> Error {
    Error::Archive(format!("cannot write the archive: {error}"))
}
