//! What `fuzz/` calls and nobody else may: parsers of untrusted bytes that are private. Only with `--cfg fuzzing`.

use std::fs::File;
use std::path::Path;

use crate::unpack::manifest::{self, MANIFEST_FILE};
use crate::unpack::oci_layout::{self, INDEX_FILE};
use crate::unpack::{layer, spool::Spool};
use crate::{Digest, Error, ImageConfig};

/// Unpacks a layer below `root`, as `coracle unpack layer` does after it has made it its root.
///
/// # Errors
/// As there.
pub fn unpack_layer(archive: &[u8], root: &Path, recipe: File) -> Result<(Digest, u64), Error> {
    layer::unpack(archive, root, recipe, None)
}

/// Reads an image archive as far as that needs no helper; `directory` is made and removed.
///
/// # Errors
/// As `coracle unpack load`.
pub fn read_archive(archive: &[u8], directory: &Path) -> Result<(), Error> {
    let spool = Spool::read(archive, directory.to_owned())?;
    let items = if spool.has(MANIFEST_FILE) {
        manifest::parse(&spool.document(MANIFEST_FILE)?)?
    } else {
        let index = spool.document(INDEX_FILE)?;
        oci_layout::items(&index, |path| spool.document(path))?
    };
    for item in items {
        item.names()?;
        item.promised_id();
        let config: ImageConfig = serde_json::from_slice(&spool.document(&item.config)?)
            .map_err(|error| Error::Archive(error.to_string()))?;
        for (entry, _) in item.layers(&config)? {
            spool.open(entry)?;
        }
    }
    Ok(())
}

/// Parses what says which layers an image has: of Docker, and of OCI.
pub fn parse_manifest(bytes: &[u8]) {
    for media_type in ["", "application/vnd.oci.image.index.v1+json"] {
        let _ = crate::manifest::Content::parse(media_type, bytes);
    }
    for item in manifest::parse(bytes).into_iter().flatten() {
        let _ = (item.names(), item.promised_id());
    }
}
