//! Layers as registries have them: packed as they were, and compressed.

use std::fs::File;
use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Store;
use crate::digest::{Digest, DigestWriter};
use crate::error::Error;

impl Store {
    /// Packs a layer into the new file `path`, compressed with gzip; gives digest and bytes of that. The same layer gives
    /// the same file each time.
    ///
    /// # Errors
    /// When the store does not have the layer or it has changed, or the file cannot be written.
    pub fn pack_layer(&self, diff_id: &Digest, path: &Path) -> Result<(Digest, u64), Error> {
        let mut archive = self.layer_archive(diff_id)?;
        let out = DigestWriter::new(File::create_new(path).map_err(Error::io("make", path))?);
        // Its header holds neither name nor time.
        let mut encoder = GzEncoder::new(out, Compression::default());
        let packed = io::copy(&mut archive, &mut encoder).and_then(|_| encoder.finish());
        let out = packed
            .map_err(|error| Error::Archive(format!("cannot pack layer {diff_id}: {error}")))?;
        let (_, digest, length) = out.finish();
        Ok((digest, length))
    }
}
